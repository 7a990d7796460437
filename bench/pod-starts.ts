/**
 * `bun bench/pod-starts.ts KUBECONFIG NODE COUNT PREFIX`, where the API server can be reached: so many pods at once on one
 * node, past the scheduler; prints a PodStarts as JSON. They are gone when it ends.
 */
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { systemRandom } from "../src/base/random.ts";
import { KubernetesClient } from "../src/store/kubernetes/client.ts";
import { follow } from "../src/store/kubernetes/follow.ts";
import { readKubeconfig } from "../src/store/kubernetes/kubeconfig.ts";
import type { KubernetesObject, NodeCondition } from "../src/store/kubernetes/object.ts";
import { PODS } from "../src/store/kubernetes/resource.ts";

export interface PodStarts {
  /** Of each pod, from the request that creates it until it is seen to be Ready, milliseconds. */
  readonly ready: readonly number[];
  /** Until the last one is. */
  readonly all: number;
  /** One of their addresses: it tells whose network it was. */
  readonly address: string;
}

interface Pod extends KubernetesObject {
  readonly spec?: unknown;
  readonly status?: { readonly podIP?: string; readonly conditions?: readonly NodeCondition[] };
}

const namespace = "default";
const label = "twill-bench";
const patience = 300_000;

const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some((each) => each.type === "Ready" && each.status === "True") === true;

const podOf = (name: string, nodeName: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace, labels: { app: label } },
  spec: {
    nodeName,
    terminationGracePeriodSeconds: 0,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    containers: [{ name: "pause", image: "registry.k8s.io/pause:3.10" }],
  },
});

async function measure(kubeconfig: string, node: string, count: number, prefix: string): Promise<PodStarts> {
  const [clock, random, log] = [systemClock, systemRandom, silentLog];
  const api = new KubernetesClient(readKubeconfig(kubeconfig, clock), { clock, random });
  const selection = { namespace, labelSelector: `app=${label}` };
  const { resourceVersion } = await api.list(PODS, selection);
  const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  const [created, ready, there] = [new Map<string, number>(), new Map<string, number>(), new Set(names)];
  let address = "";
  const done = new AbortController();
  const watching = (async () => {
    for await (const event of follow<Pod>(api, PODS, selection, resourceVersion, {
      clock,
      random,
      log,
      signal: done.signal,
    })) {
      if (event.type !== "modified" && event.type !== "deleted") continue;
      const { name } = event.object.metadata;
      if (event.type === "deleted") there.delete(name);
      else if (isReady(event.object) && !ready.has(name)) ready.set(name, performance.now());
      address = event.object.status?.podIP ?? address;
    }
  })();
  const started = performance.now();
  await Promise.all(
    names.map((name) => {
      created.set(name, performance.now());
      return api.create(PODS, { namespace, name }, podOf(name, node));
    }),
  );
  await until("the pods are Ready", () => ready.size === count);
  const all = Math.max(...ready.values()) - started;
  await Promise.all(names.map((name) => api.delete(PODS, { namespace, name })));
  await until("the pods are gone", () => there.size === 0);
  done.abort();
  await watching;
  return { ready: names.map((name) => (ready.get(name) ?? 0) - (created.get(name) ?? 0)), all, address };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + patience;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not after ${patience / 1000} s: ${what}`);
    await Bun.sleep(5);
  }
}

if (import.meta.main) {
  const [, , kubeconfig = "", node = "", count = "1", prefix = "bench"] = process.argv;
  process.stdout.write(JSON.stringify(await measure(kubeconfig, node, Number(count), prefix)));
  process.exit(0);
}
