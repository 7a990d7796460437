import { CLUSTER_NETWORK_POLICIES, NAMESPACES, NETWORK_POLICIES, objectName, PODS } from "../../apps/kinds.ts";
import { datastoreUrl } from "../../lab/settings.ts";
import { closeFile } from "../../src/kernel/file.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { openDatastore } from "../../src/store/open.ts";
import { FaultLab } from "../faults/fault-lab.fixture.ts";
import type { KubernetesObject } from "../oracle/objects.ts";
import type { ConformanceCluster } from "./cluster.ts";
import { ownAddresses } from "./own-addresses.ts";
import { allPods, servedPorts } from "./probe.ts";
import { type ProbePlace, Prober } from "./rig/prober.ts";
import { containerPorts, podLabels, standardNamespaces } from "./standard.ts";

const kinds: Readonly<Record<Exclude<KubernetesObject["kind"], "Node">, string>> = {
  Namespace: NAMESPACES,
  Pod: PODS,
  NetworkPolicy: NETWORK_POLICIES,
  ClusterNetworkPolicy: CLUSTER_NETWORK_POLICIES,
};
const network = {
  Network: "10.244.0.0/16",
  EnableIPv6: true,
  IPv6Network: "fd00:244::/56",
  Backend: { Type: "vxlan" },
};
const nodeCount = 2;

/** The matrix in a lab: real agents, plugins and tunnels, objects in the embedded datastore. */
export async function labCluster(agentFlags: readonly string[] = []): Promise<ConformanceCluster> {
  const lab = await FaultLab.up({ nodes: nodeCount, subnets: 2, pods: 0, config: network, agentFlags });
  const store = await openDatastore(datastoreUrl(lab.directory), { create: false });
  const places = new Map<string, ProbePlace>();
  const nodes = Array.from({ length: nodeCount }, (_, index) => `node${index + 1}`);
  const nodeOf = (pod: string): string => nodes[allPods.indexOf(pod) % nodes.length] ?? "";
  const close = async (): Promise<void> => {
    for (const { netns } of places.values()) closeFile(netns);
    await store.close();
    await lab[Symbol.asyncDispose]();
  };
  try {
    for (const object of standardNamespaces) await write(store, object);
    for (const pod of allPods) {
      const [namespace = "", name = ""] = pod.split("/");
      const labels = podLabels(name);
      const made = await lab.call("addPod", { node: nodeOf(pod), pod: name, namespace, labels, unique: true });
      places.set(pod, { netns: await lab.netns(`${made.node}/${made.pod}`), addresses: made.addresses });
      await changePod(store, pod, { spec: { containers: [{ name: "served", ports: containerPorts(name) }] } });
    }
    for (const party of [...nodes, "outside"]) {
      const netns = await lab.netns(party);
      places.set(party, { netns, addresses: ownAddresses(netns) });
    }
    const prober = new Prober(places, allPods, servedPorts);
    return {
      name: "the lab",
      settles: 30_000,
      nodes,
      nodeOf,
      isReached: (party) => party !== "outside",
      addressesOf: (party) => places.get(party)?.addresses ?? [],
      apply: async (objects) => {
        for (const object of objects) await write(store, object);
        await Bun.sleep(spreadMs);
      },
      remove: async (objects) => {
        for (const object of objects) await remove(store, object);
        await Bun.sleep(spreadMs);
      },
      relabel: async (pod, labels) => {
        await changePod(store, pod, { metadata: { labels } });
        await Bun.sleep(spreadMs);
      },
      probe: async (probes, expected) => prober.probe(probes, expected),
      close: async () => {
        prober.close();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What is written reaches agents at once; to look a little later saves looking twice. */
const spreadMs = 100;

const storedName = ({ namespace, name }: { readonly namespace?: string; readonly name: string }): string =>
  namespace === undefined ? name : objectName(namespace, name);
const encoded = (object: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(object));

async function write(store: Datastore, object: KubernetesObject): Promise<void> {
  if (object.kind === "Node") throw new Error("a lab's nodes are its own");
  const [kind, name] = [kinds[object.kind], storedName(object.metadata)];
  const found = await store.get(kind, name);
  if (found === undefined) await store.create(kind, name, encoded(object));
  else await store.update(kind, name, encoded(object), found.revision);
}

async function remove(store: Datastore, object: KubernetesObject): Promise<void> {
  if (object.kind === "Node") throw new Error("a lab's nodes are its own");
  const [kind, name] = [kinds[object.kind], storedName(object.metadata)];
  if ((await store.get(kind, name)) !== undefined) await store.delete(kind, name);
}

/** The lab wrote it as a kubelet would. */
async function changePod(store: Datastore, pod: string, change: { spec?: object; metadata?: object }): Promise<void> {
  const name = pod.replace("/", ".");
  const found = await store.get(PODS, name);
  if (found === undefined) throw new Error(`the lab has not written pod ${pod}`);
  const object: { spec: object; metadata: object } = JSON.parse(new TextDecoder().decode(found.value));
  const changed = {
    ...object,
    metadata: { ...object.metadata, ...change.metadata },
    spec: { ...object.spec, ...change.spec },
  };
  await store.update(PODS, name, encoded(changed), found.revision);
}
