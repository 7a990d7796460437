import type { ClusterNetwork, ExtensionConfig, Lease } from "../../model/network.ts";
import type { LocalNode } from "../../model/node.ts";
import type { ExtensionCommand, PeerCommands } from "../../model/node-state.ts";
import { type Advertisement, type Backend, type BackendPlan, emptyPeerPlan, type PeerPlanner } from "../backend.ts";
import { addressOf, familiesOf, ownAddress, subnetsOf } from "../peers.ts";

/** Longest BackendData handed to a command, characters. flanneld's is one line; a peer must not fill our memory. */
const longestInput = 64 * 1024;

/**
 * The administrator's own commands, as Flannel documents them. Here they are only described; the agent runs them, when
 * its flag allows it. The events are in the plan's order: preStartup, the claim of the subnet, postStartup, the peers.
 */
export const extension: Backend<ExtensionConfig> = {
  type: "extension",

  macsFor: () => [],

  advertise(_config, network, local): Advertisement {
    const output = local.preStartupOutput;
    if (output === undefined) return { backendType: "extension", backendData: {} };
    const data = familiesOf(network).map((family) => [family, output]);
    return { backendType: "extension", backendData: Object.fromEntries(data) };
  },

  plan(config, network, local): BackendPlan {
    const { preStartup, postStartup } = config;
    return {
      tunnels: [],
      problems: [],
      podMtu: local.underlay.mtu,
      commands: {
        ...(preStartup === undefined ? {} : { preStartup: { shell: preStartup, environment: {}, stdin: "\n" } }),
        ...(postStartup === undefined ? {} : { postStartup: afterStartup(postStartup, network, local) }),
      },
    };
  },

  peerPlanner(config, network): PeerPlanner {
    return (peer) => {
      const stdin = inputOf(peer, network);
      if (stdin !== undefined) return { ...emptyPeerPlan, commands: peerCommands(config, network, peer, stdin) };
      const message = `node ${peer.node} passes data that is not a text of at most ${longestInput} characters; no command was run for it`;
      const remedy = `look at what PreStartupCommand prints on ${peer.node}`;
      return { ...emptyPeerPlan, problems: [{ severity: "error", subject: peer.node, message, remedy }] };
    };
  },
};

function afterStartup(shell: string, network: ClusterNetwork, local: LocalNode): ExtensionCommand {
  const environment = present({
    NETWORK: network.ipv4?.network,
    IPV6_NETWORK: network.ipv6?.network,
    SUBNET: subnetsOf(local, 4)[0],
    IPV6SUBNET: subnetsOf(local, 6)[0],
    PUBLIC_IP: ownAddress(local, 4),
    PUBLIC_IPV6: ownAddress(local, 6),
  });
  return { shell, environment, stdin: "\n" };
}

function peerCommands(config: ExtensionConfig, network: ClusterNetwork, peer: Lease, stdin: string): PeerCommands {
  const has = new Set(familiesOf(network));
  const environment = present({
    SUBNET: has.has(4) ? subnetsOf(peer, 4)[0] : undefined,
    IPV6SUBNET: has.has(6) ? subnetsOf(peer, 6)[0] : undefined,
    PUBLIC_IP: addressOf(peer, 4),
    PUBLIC_IPV6: addressOf(peer, 6),
  });
  const command = (shell: string | undefined) => (shell === undefined ? undefined : { shell, environment, stdin });
  const add = command(config.subnetAdd);
  const remove = command(config.subnetRemove);
  return { ...(add === undefined ? {} : { add }), ...(remove === undefined ? {} : { remove }) };
}

/** BackendData as standard input, with the newline that flanneld adds: the documented examples `read` it. */
function inputOf(peer: Lease, network: ClusterNetwork): string | undefined {
  for (const family of familiesOf(network)) {
    const data = peer.backendData[family];
    if (data === undefined || data === null) continue;
    return typeof data === "string" && data.length <= longestInput ? `${data}\n` : undefined;
  }
  return "\n";
}

function present(variables: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const entries = Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}
