import type { SwitchTarget } from "../../src/intent/flannel/switch-target.ts";
import { positionOf } from "../../src/model/live-switch.ts";
import type { Lease } from "../../src/model/network.ts";
import { describeBackend, describeNetwork } from "../../src/switch/describe.ts";

export interface Progress {
  readonly lines: readonly string[];
  readonly done: boolean;
}

/** Where every node stands, by what each published of itself. */
export function progressLines(target: SwitchTarget | undefined, leases: readonly Lease[]): Progress {
  const network = target?.configs.get(target.id);
  if (target === undefined || network === undefined) return { lines: ["no agent has set a target yet"], done: false };
  const nodes = [...leases].sort((a, b) => (a.node < b.node ? -1 : 1));
  const states = nodes.map((lease) => stateOf(lease, target));
  const ready = states.filter((state) => state === done).length;
  return {
    lines: [
      `to ${describeNetwork(network)}: ${ready} of ${nodes.length} nodes done`,
      ...nodes.flatMap(({ node }, index) => (states[index] === done ? [] : [`  ${node}: ${states[index]}`])),
    ],
    done: ready === nodes.length,
  };
}

const done = "done";

function stateOf({ standing, id }: Lease, target: SwitchTarget): string {
  if (standing === undefined)
    return id === undefined ? "runs flanneld, and takes no part" : "has not said where it stands";
  const { epoch, accepts, sends } = positionOf(standing);
  if (epoch === 0) return "is joining the cluster";
  if (epoch !== target.epoch || !accepts.includes(target.id))
    return "has not heard of it, or its agent does not answer";
  const sending = target.configs.get(sends);
  if (sends !== target.id)
    return `receives by both, sends by ${sending === undefined ? "an earlier one" : describeBackend(sending.backend)}`;
  return accepts.length === 1 ? done : "sends by it, still receives by both";
}
