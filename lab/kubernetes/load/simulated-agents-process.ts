import { ClusterNodes } from "../../../apps/agent/kubernetes/cluster-nodes.ts";
import { datastoreKinds } from "../../../apps/datastore-kinds.ts";
import { NODES, SWITCH } from "../../../apps/kinds.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { decodeLease } from "../../../src/intent/flannel/lease.ts";
import { KubernetesDatastore } from "../../../src/store/kubernetes/datastore.ts";
import { readKubeconfig } from "../../../src/store/kubernetes/kubeconfig.ts";
import { Reflector } from "../../../src/store/reflector.ts";
import type { Told } from "./simulated-agents.ts";
import { nodeName } from "./simulated-nodes.ts";

/**
 * `bun simulated-agents-process.ts KUBECONFIG FIRST COUNT`: what so many agents are to an API server, with their own
 * code: each has its datastore, its connections, and its copy of the cluster. What happens is told in lines of JSON.
 */
const [, , kubeconfig = "", first = "0", count = "0"] = process.argv;

const tell = (told: Told): boolean => process.stdout.write(`${JSON.stringify(told)}\n`);

function startAgent(number: number): void {
  const observer = new ClusterNodes(nodeName(number));
  const store = new KubernetesDatastore(readKubeconfig(kubeconfig, systemClock), { kinds: datastoreKinds(observer) });
  const list = store.list.bind(store);
  store.list = (kind) => {
    if (kind === NODES) tell({ event: "list", at: Date.now() });
    return list(kind);
  };
  const shared = { store, clock: systemClock, random: systemRandom };
  new Reflector({ ...shared, kind: SWITCH, decode: (value) => value });
  const reflector = new Reflector({
    ...shared,
    kind: NODES,
    decode: (value, name) => decodeLease(value, `node ${name}`),
    onState: (state) =>
      tell({ event: state === "synced" ? "synced" : "lost", at: Date.now(), nodes: reflector.objects().size }),
    onChange: (deltas) => {
      for (const { type, name } of deltas.length > 3 ? [] : deltas) tell({ event: type, at: Date.now(), name });
    },
  });
}

for (let index = 0; index < Number(count); index++) {
  startAgent(Number(first) + index);
  await Bun.sleep(5); // not all in one moment: a DaemonSet's are started by their kubelets
}
