/** `bun test/cluster/latency.fixture.ts`: what the Kubernetes datastore costs against a real kube-apiserver. */
import { systemClock } from "../../src/base/clock.ts";
import { KubernetesDatastore } from "../../src/store/kubernetes/datastore.ts";
import { readKubeconfig } from "../../src/store/kubernetes/kubeconfig.ts";
import { admin, namespace } from "./control-plane.fixture.ts";

const { kubeconfig, api, plane } = await admin();
const access = readKubeconfig(kubeconfig, systemClock);
const options = { namespace: await namespace(api) };
const [writer, watcher] = [new KubernetesDatastore(access, options), new KubernetesDatastore(access, options)];
/** A node's object is about that long. */
const value = new TextEncoder().encode("x".repeat(420));

function show(what: string, times: readonly number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(2);
  console.log(`${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms (${sorted.length})`);
}

async function timed(what: string, count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  for (let index = -5; index < count; index++) {
    const began = performance.now();
    await work(index + 5);
    if (index >= 0) times.push(performance.now() - began);
  }
  show(what, times);
}

const arrived = new Map<string, number>();
const { revision } = await watcher.list("nodes");
const stop = new AbortController();
const watching = (async () => {
  for await (const event of watcher.watch("nodes", revision, { signal: stop.signal })) {
    if (event.type === "put") arrived.set(event.object.name, performance.now());
  }
})();
await Bun.sleep(200);
const asked = new Map<string, number>();
await timed("create", 300, async (index) => {
  asked.set(`n${index}`, performance.now());
  await writer.create("nodes", `n${index}`, value);
});
await Bun.sleep(500);
show(
  "create asked for → event in another client",
  [...asked].slice(5).map(([name, began]) => (arrived.get(name) ?? Number.NaN) - began),
);
let current = (await writer.get("nodes", "n0"))?.revision ?? revision;
await timed("compare-and-swap", 300, async () => {
  current = (await writer.update("nodes", "n0", value, current)).revision;
});
await timed("get", 300, () => writer.get("nodes", "n1"));
await timed("list of 305", 50, () => writer.list("nodes"));
const began = performance.now();
await Promise.all(Array.from({ length: 5000 }, (_, index) => writer.create("blobs", `b${index}`, value)));
console.log(`5,000 creates asked for at once: ${Math.round(performance.now() - began)} ms`);
await timed("list of 5,000", 20, () => writer.list("blobs"));
stop.abort();
await watching;
await Promise.all([writer.close(), watcher.close()]);
await plane.stop();
process.exit(0);
