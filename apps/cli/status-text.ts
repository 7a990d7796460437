import type { AgentStatus, ChangeStatus, NodeStatus, PolicyStatus, Reachability } from "../../src/model/status.ts";
import { age, formatTable, milliseconds } from "./table.ts";

export interface Paint {
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
  strong(text: string): string;
}

const code = (number: number) => (text: string) => `\u001b[${number}m${text}\u001b[0m`;
const same = (text: string): string => text;
export const paint = (colour: boolean): Paint =>
  colour
    ? { good: code(32), bad: code(31), warn: code(33), strong: code(1) }
    : { good: same, bad: same, warn: same, strong: same };

/** What `twill status` prints: first what is wrong and what to do, for that is why it was typed; then the nodes. */
export function statusText(status: AgentStatus, now: number, colours: Paint): string {
  const lines: string[] = [];
  const state = status.ready ? colours.good("ready") : colours.bad("not ready");
  lines.push(`${colours.strong(status.node)}: ${state}, twill ${status.version}, up ${age(status.uptime * 1000)}`);
  for (const missing of status.waitingFor) lines.push(`  waiting for ${missing}`);
  if (status.network !== undefined) {
    lines.push(
      `network: ${status.network.ranges.join(", ")}, backend ${status.network.backend}, from ${status.network.source}`,
    );
    if (status.network.rejected !== undefined) {
      lines.push(colours.bad(`  the newest configuration is invalid and not in force: ${status.network.rejected}`));
    }
  }
  if (status.change !== undefined) lines.push(...changeLines(status.change, colours));
  if (status.underlay !== undefined) {
    lines.push(
      `underlay: ${status.underlay.device} ${status.underlay.addresses.join(", ")}, MTU ${status.underlay.mtu}`,
    );
  }
  const { used, quarantined, free } = status.addresses;
  const waiting = quarantined > 0 ? `, ${quarantined} waiting for reuse` : "";
  lines.push(
    `pods: ${status.subnets.join(", ") || "no subnet yet"}, MTU ${status.podMtu ?? "unknown"}, ${used} addresses used, ${free > 1e6 ? "plenty" : free} free${waiting}`,
    `  from ${status.subnetSource}`,
  );
  if (status.policy !== undefined) lines.push(policyLine(status.policy, colours));
  if (status.condition !== undefined) {
    const { status: value, reason, message } = status.condition;
    const text = `Node's condition NetworkUnavailable: ${value}, ${reason}${message === "" ? "" : `: ${message}`}`;
    lines.push(value === "False" ? text : colours.warn(text));
  }
  if (!status.datastore.reachable) {
    const reason = status.datastore.reason === undefined ? "" : `: ${status.datastore.reason}`;
    lines.push(
      colours.bad(
        `datastore: away for ${age(now - status.datastore.since)}${reason}; working from the last known state`,
      ),
    );
  }

  lines.push("");
  if (status.problems.length === 0) lines.push(colours.good("no problems found"));
  else lines.push(colours.bad(`${status.problems.length} problem${status.problems.length === 1 ? "" : "s"}:`));
  for (const problem of status.problems) {
    const mark = problem.severity === "error" ? colours.bad("✗") : colours.warn("!");
    lines.push(`  ${mark} ${problem.subject}: ${problem.message}`, `    → ${problem.remedy}`);
  }

  lines.push("", nodeTable(status.nodes, now, colours).trimEnd());
  return `${lines.join("\n")}\n`;
}

function policyLine({ judged, established, denied, ...policy }: PolicyStatus, colours: Paint): string {
  const { networkPolicies: own, clusterNetworkPolicies: cluster, broken, unknownPods } = policy;
  if (own + cluster === 0) return "policy: there is none, so everything is allowed";
  const count = `${own} NetworkPolic${own === 1 ? "y" : "ies"}, ${cluster} ClusterNetworkPolic${cluster === 1 ? "y" : "ies"}`;
  const here = `ingress of ${judged.ingress} and egress of ${judged.egress} pod addresses judged here`;
  const how = [
    denied === "drop" ? "denied packets dropped" : "denied packets answered",
    established === "keep" ? "established connections kept" : "established connections rechecked",
  ];
  const wrong = [
    ...(broken === 0 ? [] : [`${broken} cannot be understood and den${broken === 1 ? "ies" : "y"}`]),
    ...(unknownPods.length === 0 ? [] : [`${unknownPods.length} pods unknown`]),
  ];
  const trouble = wrong.length === 0 ? "" : `\n  ${colours.bad(wrong.join(", "))}`;
  return `policy: ${count}; ${here}\n  ${how.join(", ")}${trouble}`;
}

/** A change of the configuration that is under way, or refused. */
function changeLines({ to, sends, stage, waitingFor, away, refused }: ChangeStatus, colours: Paint): readonly string[] {
  if (refused.length > 0)
    return refused.map((reason) => colours.bad(`  the configuration as written is refused: ${reason}`));
  const waits = waitingFor.map(({ node, seconds }) => `${node} (${age(seconds * 1000)})`);
  return [
    `change: to ${to}, ${stageText[stage]}; this node sends by ${sends}`,
    ...(waits.length > 0 ? [colours.warn(`  waiting for ${waits.join(", ")}`)] : []),
    ...(away.length > 0 ? [`  not waiting for ${away.join(", ")}: away`] : []),
  ];
}

const stageText: Readonly<Record<ChangeStatus["stage"], string>> = {
  offer: "until this node has heard of it",
  accept: "until all nodes receive by it, too",
  send: "until all nodes send by it",
  done: "done here",
};

function nodeTable(nodes: readonly NodeStatus[], now: number, colours: Paint): string {
  return formatTable(
    ["NODE", "ADDRESS", "SUBNET", "BACKEND", "REACHED", "ROUND TRIP", "LOSS", "REACHES US", "SINCE"],
    nodes.map((node) => [
      node.name,
      node.addresses.join(","),
      node.subnets.join(",") || "-",
      node.backend,
      node.self ? "(this node)" : reached(node.reachable, colours),
      node.self || node.reachable.roundTrip === undefined ? "-" : milliseconds(node.reachable.roundTrip),
      node.self || node.reachable.loss === undefined ? "-" : `${Math.round(node.reachable.loss * 100)}%`,
      node.self ? "-" : node.reverse === undefined ? "unknown" : reached(node.reverse, colours),
      node.reachable.since === undefined || node.self ? "-" : age(now - node.reachable.since),
    ]),
  );
}

function reached(value: Reachability, colours: Paint): string {
  if (value.state === "yes") return colours.good("yes");
  if (value.state === "unknown") return "unknown";
  return colours.bad(
    value.failing === "overlay" ? "no (tunnel)" : value.failing === "underlay" ? "no (node away)" : "no",
  );
}
