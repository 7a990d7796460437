import { type Address, tryAddress } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import {
  type Flow,
  type FlowEnd,
  type FlowObstacle,
  type FlowReason,
  type FlowTotals,
  flowObstacles,
} from "../../model/flow.ts";
import { type PolicyId, policyKinds } from "../../model/policy.ts";

/** A flow as one line of JSON, without its line break: how nodes keep flows and hand them on. */
export const encodeFlow = (flow: Flow): string => JSON.stringify(flow);

/** @throws TwillError `corrupt` for what is no flow: a line cut by a full disk, or another node's answer. */
export function decodeFlow(line: string): Flow {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new TwillError("corrupt", "a kept flow is not JSON", { cause });
  }
  return readFlow(value);
}

/** @throws TwillError `corrupt`. */
export function readFlow(value: unknown): Flow {
  const fields = fieldsOf(value, "flow");
  const { verdict } = fields;
  if (verdict !== "allow" && verdict !== "deny") throw corrupt("verdict");
  return {
    sequence: number(fields.sequence, "sequence"),
    since: number(fields.since, "since"),
    until: number(fields.until, "until"),
    verdict,
    protocol: number(fields.protocol, "protocol", 255),
    source: readEnd(fields.source),
    destination: readEnd(fields.destination),
    ...maybe("port", fields.port, port),
    ...maybe("ports", fields.ports, number),
    ...maybe("icmp", fields.icmp, readIcmp),
    ...maybe("service", fields.service, readService),
    ...maybe("egress", fields.egress, readReason),
    ...maybe("ingress", fields.ingress, readReason),
    ...maybe("obstacle", fields.obstacle, readObstacle),
    count: number(fields.count, "count"),
    ...maybe("ended", fields.ended, readTotals),
  };
}

type Fields = Readonly<Record<string, unknown>>;

const corrupt = (what: string): TwillError => new TwillError("corrupt", `a flow's ${what} is not what it should be`);

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw corrupt(what);
  return value as Fields;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string" || value.length > 512) throw corrupt(what);
  return value;
}

function number(value: unknown, what: string, maximum = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > maximum) throw corrupt(what);
  return value;
}

const port = (value: unknown, what: string): number => number(value, what, 65_535);

function address(value: unknown): Address {
  const found = tryAddress(text(value, "address"));
  if (found === undefined) throw corrupt("address");
  return found;
}

const maybe = <K extends string, T>(
  key: K,
  value: unknown,
  read: (value: unknown, what: string) => T,
): { [P in K]?: T } => (value === undefined ? {} : { [key]: read(value, key) }) as { [P in K]?: T };

function readIcmp(value: unknown): NonNullable<Flow["icmp"]> {
  const { type, code } = fieldsOf(value, "icmp");
  return { type: number(type, "icmp", 255), code: number(code, "icmp", 255) };
}

function readService(value: unknown): NonNullable<Flow["service"]> {
  const fields = fieldsOf(value, "service");
  return { address: address(fields.address), ...maybe("port", fields.port, port) };
}

function readObstacle(value: unknown): FlowObstacle {
  const found = flowObstacles.find((known) => known === value);
  if (found === undefined) throw corrupt("obstacle");
  return found;
}

function readTotals(value: unknown): FlowTotals {
  const { connections, packets, bytes, seconds } = fieldsOf(value, "ended");
  if (typeof seconds !== "number" || !(seconds >= 0)) throw corrupt("ended");
  return {
    connections: number(connections, "ended"),
    packets: number(packets, "ended"),
    bytes: number(bytes, "ended"),
    seconds,
  };
}

function readEnd(value: unknown): FlowEnd {
  const fields = fieldsOf(value, "end");
  switch (fields.kind) {
    case "pod":
      return {
        kind: "pod",
        address: address(fields.address),
        namespace: text(fields.namespace, "namespace"),
        name: text(fields.name, "pod"),
        labels: readLabels(fields.labels),
        ...maybe("node", fields.node, text),
      };
    case "node":
      return { kind: "node", address: address(fields.address), name: text(fields.name, "node") };
    case "address":
      return { kind: "address", address: address(fields.address) };
    case "many":
      return { kind: "many" };
    default:
      throw corrupt("end");
  }
}

const readLabels = (value: unknown): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(fieldsOf(value, "labels")).map(([key, label]) => [key, text(label, "label")]));

function readReason(value: unknown): FlowReason {
  const fields = fieldsOf(value, "reason");
  const tier = maybe("tier", fields.tier, text);
  switch (fields.by) {
    case "rule":
      return { by: "rule", policy: readPolicy(fields.policy), rule: number(fields.rule, "rule"), ...tier };
    case "tier":
      if (!Array.isArray(fields.isolatedBy)) throw corrupt("reason");
      return { by: "tier", tier: text(fields.tier, "tier"), isolatedBy: fields.isolatedBy.map(readPolicy) };
    case "broken":
    case "own-node":
      return { by: fields.by, policy: readPolicy(fields.policy), ...tier };
    case "no-policy":
    case "unknown-endpoint":
      return { by: fields.by };
    case "forgotten":
      return { by: "forgotten", number: number(fields.number, "number") };
    default:
      throw corrupt("reason");
  }
}

function readPolicy(value: unknown): PolicyId {
  const fields = fieldsOf(value, "policy");
  const kind = policyKinds.find((known) => known === fields.kind);
  if (kind === undefined) throw corrupt("policy");
  return { kind, name: text(fields.name, "policy"), ...maybe("namespace", fields.namespace, text) };
}
