import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { TwillError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { prefixOf } from "../../src/base/prefix.ts";
import { systemRandom } from "../../src/base/random.ts";
import { Compilation } from "../../src/compile/compilation.ts";
import type { Asker } from "../../src/insight/asker.ts";
import type { AgentKnowledge } from "../../src/insight/facts.ts";
import { Looker } from "../../src/insight/looker.ts";
import type { PodPlace } from "../../src/insight/node-view.ts";
import type { Answer, Question } from "../../src/insight/questions.ts";
import { decodeLease } from "../../src/intent/flannel/lease.ts";
import { parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import { readBooks } from "../../src/ipam/read-book.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import type { Rtnl } from "../../src/kernel/rtnl.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import type { ClusterNetwork, Lease } from "../../src/model/network.ts";
import type { LocalNode, Underlay } from "../../src/model/node.ts";
import type { NodeState } from "../../src/model/node-state.ts";
import { allNetworks } from "../../src/model/ranges.ts";
import { SnapshotFile } from "../../src/store/snapshot.ts";
import { type PodRecord, placeOf, recordOf } from "../agent/cni-service/pod-record.ts";
import { type NodeFile, readNodeFile } from "../agent/node-file.ts";
import { NETWORK } from "../kinds.ts";
import { pluginVersion } from "../plugin-version.ts";
import { version } from "../version.ts";

/** What an agent left on disk, which is what it would do if it ran. */
export interface Legacy {
  readonly node: string;
  readonly knowledge: AgentKnowledge;
  readonly pods: readonly PodRecord[];
  readonly underlay: string | undefined;
}

/** @throws TwillError `not-found` where no agent has ever run. */
export function readLegacy(stateDir: string, rtnl: Rtnl): Legacy {
  const file = readNodeFile(stateDir);
  if (file === undefined) {
    throw new TwillError("not-found", "no agent has run on this machine", {
      operation: "look at node",
      object: join(stateDir, "node.json"),
      remedy: "install Twill here first; or name its --state-dir",
    });
  }
  const leases = readLeases(stateDir);
  const network = readNetwork(stateDir);
  const underlay = findUnderlay(leases.get(file.nodeName), rtnl);
  const pods = readBooks(stateDir).flatMap((stored) => readable(() => recordOf(stored)));
  return {
    node: file.nodeName,
    underlay: underlay?.device,
    pods,
    knowledge: {
      version,
      pluginVersion: pluginVersion(),
      identity: file.identity,
      networks: network === undefined ? [] : allNetworks(network),
      state: compiled(network, file, underlay, leases),
      leases,
      attachment: pods.some(({ attachment }) => attachment.type === "bridge") ? "bridge" : "routed",
      waitingFor: [],
      problems: [],
    },
  };
}

const snapshot = (stateDir: string, kind: string) =>
  new SnapshotFile(join(stateDir, "cache", `${kind}.snapshot`), { clock: systemClock, log: silentLog }).load();

function readLeases(stateDir: string): Map<string, Lease> {
  const objects = snapshot(stateDir, "nodes")?.objects ?? [];
  return new Map(objects.flatMap(({ name, value }) => readable(() => [name, decodeLease(value, name)] as const)));
}

function readNetwork(stateDir: string): ClusterNetwork | undefined {
  const stored = snapshot(stateDir, "config")?.objects.find(({ name }) => name === NETWORK);
  if (stored === undefined) return undefined;
  const text = new TextDecoder().decode(stored.value);
  return readable(() => parseNetConf(text, { source: "cache", allowExtension: true }))[0];
}

/** What a damaged or newer file holds is left out: the rest can be looked at all the same. */
function readable<T>(read: () => T): T[] {
  try {
    return [read()];
  } catch (error) {
    if (error instanceof TwillError) return [];
    throw error;
  }
}

/** The device that has the address which the node told the cluster. */
function findUnderlay(lease: Lease | undefined, rtnl: Rtnl): Underlay | undefined {
  const addresses = rtnl.addresses();
  const own = addresses.find(({ address }) => lease?.addresses.includes(address) === true);
  const link = own === undefined ? undefined : rtnl.link(own.device);
  if (link === undefined) return undefined;
  const [ipv4, ipv6] = [false, true].map((v6) => lease?.addresses.find((address) => address.includes(":") === v6));
  return {
    device: link.name,
    index: link.index,
    mtu: link.mtu,
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    attached: addresses
      .filter(({ device }) => device === link.index)
      .map(({ address, length }) => prefixOf(address, length)),
  };
}

function compiled(
  network: ClusterNetwork | undefined,
  file: NodeFile,
  underlay: Underlay | undefined,
  leases: ReadonlyMap<string, Lease>,
): NodeState | undefined {
  if (network === undefined || underlay === undefined) return undefined;
  const local: LocalNode = { name: file.nodeName, subnets: file.subnets, underlay, macs: file.macs };
  return readable(() => {
    const compilation = new Compilation({ network, local });
    compilation.patch(leases);
    return compilation;
  })[0];
}

/** Looks at this node from the command line itself. Other nodes cannot be asked: the agent has the key. */
export function legacyAsker(stateDir: string, sysctlDir: string): { readonly asker: Asker; readonly legacy: Legacy } {
  const rtnl = openRtnl();
  const legacy = readLegacy(stateDir, rtnl);
  const { node, knowledge, underlay } = legacy;
  const pods: readonly PodPlace[] = legacy.pods.map(placeOf);
  const looker: Looker = new Looker({
    node,
    rtnl,
    sysctls: kernelSysctls(undefined, sysctlDir),
    nft: openNft(),
    pods: () => pods,
    underlay: () => underlay,
    knowledge: () => knowledge,
    asker: () => asker,
    report: async () => ({ log: "the agent is dead: see its log where it was started\n", secrets: [], files: {} }),
    clock: systemClock,
    random: systemRandom,
  });
  const nodes = [...knowledge.leases.values()].map(({ node: name, addresses, subnets }) => ({
    name,
    addresses,
    subnets,
  }));
  const asker: Asker = {
    node,
    nodes,
    reaches: false,
    ask: async <Q extends Question>(asked: string, question: Q, params: Parameters<Looker["answers"][Q]>[0]) => {
      if (asked === node) return (await looker.answers[question](params)) as Answer<Q>;
      throw new TwillError("unavailable", "other nodes are asked through this node's agent, and that is away", {
        operation: "ask node",
        object: asked,
        remedy: "start twill-agent",
      });
    },
  };
  return { asker, legacy };
}
