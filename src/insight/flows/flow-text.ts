import type { Flow, FlowEnd, FlowObstacle, FlowReason, FlowTotals } from "../../model/flow.ts";
import { type PolicyId, policyName } from "../../model/policy.ts";
import { protocolName } from "../policy/traffic.ts";

/** Flows in words, without times and colours. */

/** "shop/web-0", "node/worker-1", "192.0.2.7". */
export function describeEnd(end: FlowEnd): string {
  switch (end.kind) {
    case "pod":
      return `${end.namespace}/${end.name}`;
    case "node":
      return `node/${end.name}`;
    case "address":
      return end.address;
    case "many":
      return "many";
  }
}

/** "shop/web-0 → shop/db-0:5432 TCP", "many → shop/db-0 (4000 ports) TCP". */
export function describeWay({ source, destination, port, ports, icmp, protocol, service }: Flow): string {
  const to = describeEnd(destination);
  const what = icmp === undefined ? protocolName(protocol) : `${protocolName(protocol)} type ${icmp.type}`;
  const asked = service === undefined ? "" : `, sent to ${withPort(service.address, service.port)}`;
  return `${describeEnd(source)} → ${withPort(to, port)}${ports === undefined ? "" : ` (${ports} ports)`} ${what}${asked}`;
}

const withPort = (end: string, port: number | undefined): string => {
  if (port === undefined) return end;
  return end.includes(":") ? `[${end}]:${port}` : `${end}:${port}`;
};

/** Who decided: "NetworkPolicy shop/web rule 2". */
export function describeReason(reason: FlowReason): string {
  const tier = "tier" in reason && reason.by !== "tier" ? inTier(reason.tier) : "";
  switch (reason.by) {
    case "rule":
      return `${policyName(reason.policy)} rule ${reason.rule + 1}${tier}`;
    case "tier":
      return `no rule of ${several(reason.isolatedBy)}${inTier(reason.tier)}`;
    case "broken":
      return `${policyName(reason.policy)}, which cannot be understood${tier}`;
    case "own-node":
      return `own node, by ${policyName(reason.policy)}`;
    case "no-policy":
      return "no policy";
    case "unknown-endpoint":
      return "the pod's labels are not known";
    case "forgotten":
      return `decision ${reason.number}, which has gone`;
  }
}

/** NetworkPolicy's own tier is what everybody expects. */
const inTier = (tier: string | undefined): string =>
  tier === undefined || tier === "default" ? "" : ` in tier ${tier}`;

function several(policies: readonly PolicyId[]): string {
  const [first, ...rest] = policies;
  if (first === undefined) return "any policy";
  return `${policyName(first)}${rest.length === 0 ? "" : ` or ${rest.length} more`}`;
}

const obstacles: Readonly<Record<FlowObstacle, string>> = {
  spoofed: "the address is not the pod's own",
  "unknown-pod": "policy does not know this pod's address yet",
  unreadable: "no transport header to judge by",
  cut: "its connection would no longer be allowed to begin",
  changed: "policy changed while it was being judged",
  "no-connection": "policy (of no connection, so the rule is not known)",
  forgotten: "a decision that has gone",
};

/** "ingress: NetworkPolicy shop/web rule 2". Directions in which no policy had a say are left out where another had. */
export function describeWhy({ egress, ingress, obstacle }: Flow): string {
  if (obstacle !== undefined) return obstacles[obstacle];
  const reasons = Object.entries({ egress, ingress }).flatMap(([direction, reason]) =>
    reason === undefined ? [] : [{ direction, reason }],
  );
  const decided = reasons.filter(({ reason }) => reason.by !== "no-policy");
  if (decided.length === 0) return "no policy";
  return decided.map(({ direction, reason }) => `${direction}: ${describeReason(reason)}`).join("; ");
}

/** "12 packets reported", "3 connections", "1 ended: 4.1 kB in 12 packets, 1.2 s". One connection or packet goes without saying. */
export function describeCount({ verdict, count, ended }: Flow): string {
  const began = count <= 1 ? [] : [`${count} ${verdict === "deny" ? "packets reported" : "connections"}`];
  return [...began, ...(ended === undefined ? [] : [describeTotals(ended)])].join(", ");
}

function describeTotals({ connections, packets, bytes, seconds }: FlowTotals): string {
  const passed = packets === 0 ? "" : `: ${describeBytes(bytes)} in ${packets} packet${packets === 1 ? "" : "s"}`;
  return `${connections} ended${passed}, ${seconds.toFixed(1)} s`;
}

function describeBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
