import type { HeldPolicy } from "../../../src/compile/policy/compiler.ts";
import type { Nft } from "../../../src/kernel/nft.ts";
import type { Rtnl } from "../../../src/kernel/rtnl.ts";
import { priorities } from "../../../src/render/hooks.ts";
import { twillTable } from "../../../src/render/masquerade.ts";
import type { PolicyOptions as TableOptions } from "../../../src/render/policy/options.ts";
import type { Dataplane } from "../dataplane.ts";
import type { AgentOptions } from "../options.ts";
import { Policy, type PolicyOptions } from "./policy.ts";
import { PolicyNodes } from "./policy-nodes.ts";

export interface NodePolicyOptions
  extends Pick<PolicyOptions, "store" | "caches" | "clock" | "random" | "log" | "onChange"> {
  readonly options: AgentOptions;
  readonly rtnl: Rtnl;
  readonly nft: Nft;
  /** Undefined: it is not there yet. */
  readonly dataplane: () => Dataplane | undefined;
}

/** How our own pods' interfaces on the host begin (src/attach). */
const podInterfaces = "twl";

/** Policy as a part of the agent: with the cluster's machines, and the agent's settings. */
export class NodePolicy extends Policy {
  readonly nodes: PolicyNodes;
  readonly tableOptions: TableOptions;

  constructor({ options, rtnl, nft, dataplane, ...others }: NodePolicyOptions) {
    const { nodeName: node, policyUnknown: unknown } = options;
    super({
      ...others,
      node,
      unknown,
      kernel: {
        held: heldPolicy(nft),
        get isReady() {
          return dataplane()?.isStarted === true;
        },
        write: (state) => dataplane()?.writePolicy(state),
      },
    });
    this.tableOptions = tableOptions(options);
    const ownAddresses = () =>
      rtnl.addresses().flatMap(({ address, scope }) => (scope === "universe" ? [address] : []));
    this.nodes = new PolicyNodes({ node, ownAddresses, onNode: (name, of) => this.setNode(name, of) });
    this.nodes.ownAddressesChanged();
  }
}

/** Reports of denied packets: enough for people, and no load in a flood. */
const denyLog = { perSecond: 200, burst: 400 };

const tableOptions = ({ policyEstablished, policyDenied, policyUnknown, attachment }: AgentOptions): TableOptions => ({
  established: policyEstablished,
  deny: policyDenied,
  log: denyLog,
  // Behind a bridge's ports no address is routed to one of them.
  ...(attachment === "routed" && { podInterfaces }),
  unknownPodsAllowed: policyUnknown === "open",
});

/** What an agent before this one left in the kernel. */
function heldPolicy(nft: Nft): HeldPolicy | undefined {
  const ours = nft
    .chains(twillTable.family)
    .filter(({ table, base }) => table === twillTable.table && base !== undefined);
  if (!ours.some(({ base }) => base?.priority === priorities.policy)) return undefined;
  return { addresses: new Map(), networks: [], ports: new Map(), decisions: new Map() };
}
