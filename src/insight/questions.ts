import { type Address, parseAddress } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { parseMac } from "../base/mac.ts";
import type { Flow as PolicyFlow } from "../compile/policy/flow.ts";
import type { DecisionUse } from "../model/decision-use.ts";
import type { FlowPage, FlowsRequest } from "../model/flow.ts";
import type { BpfProgram } from "../wire/bpf.ts";
import type { Examination } from "./examine.ts";
import type { Card } from "./facts.ts";
import type { Finding } from "./finding.ts";
import { readFlowFilter } from "./flows/flow-filter.ts";
import type { Encapsulation, Entry, Leg } from "./leg.ts";
import type { ReportFile } from "./node-report.ts";
import type { PodPlace } from "./node-view.ts";
import type { HeldRows } from "./policy/held-rows.ts";
import type { ModelPart } from "./policy/model-part.ts";
import type { ProbeOutcome, ProbeRequest } from "./probe.ts";
import type { ProbePacket } from "./probe-packet.ts";
import type { WatchResult } from "./watch.ts";

/**
 * What one node can be asked, by its own command line or by another node's agent. Nothing here changes the node; what is sent
 * or watched is bounded. Each question checks its parameters, for they come from outside.
 */
export interface Questions {
  /** The pods whose name ("namespace/name", or the name alone) or address this is. */
  readonly find: { readonly params: { readonly pod: string }; readonly result: readonly PodPlace[] };
  /** Devices that carry the pods' packets between nodes, and the node's clock. */
  readonly devices: { readonly params: NoParams; readonly result: PathDevices };
  /** What the others compare with themselves. */
  readonly card: { readonly params: NoParams; readonly result: Card };
  /** What the node's state shows by itself. */
  readonly checks: { readonly params: NoParams; readonly result: readonly Finding[] };
  /** What policy allowed and denied there, a page at a time. */
  readonly flows: { readonly params: FlowsRequest; readonly result: FlowPage };
  /** How often each decision of policy was taken there. */
  readonly decisions: { readonly params: NoParams; readonly result: readonly DecisionUse[] };
  /** What its agent knows of these ends ("namespace/pod", an address, a node) that policy could ask for. For its own command line. */
  readonly policyPart: { readonly params: { readonly ends: readonly string[] }; readonly result: ModelPart };
  /** What its kernel holds for a flow. */
  readonly policyRows: { readonly params: PolicyFlow; readonly result: HeldRows };
  /** What a maintainer would ask for, as files. */
  readonly report: { readonly params: ReportRequest; readonly result: readonly ReportFile[] };
  /** The node looked at whole, with probes to others. */
  readonly examine: { readonly params: ExamineRequest; readonly result: Examination };
  /** What the node's kernel would do with a packet. */
  readonly walk: { readonly params: { readonly entry: Entry; readonly packet: ProbePacket }; readonly result: Leg };
  /** One packet, and whether it was answered. */
  readonly probe: { readonly params: ProbeFrom; readonly result: ProbeOutcome };
  readonly watch: { readonly params: WatchRequest; readonly result: { readonly id: string } };
  /** Ends a watch. */
  readonly watched: { readonly params: { readonly id: string }; readonly result: WatchResult };
}
export type Question = keyof Questions;
export type Asked<Q extends Question> = Questions[Q]["params"];
export type Answer<Q extends Question> = Questions[Q]["result"];

export interface PathDevices {
  readonly underlay?: string;
  readonly tunnels: readonly { readonly device: string; readonly port: number }[];
  /** Wall-clock milliseconds since 1970. */
  readonly now: number;
}

export type NoParams = Readonly<Record<string, never>>;

export interface ReportRequest {
  /** With the datastore's objects, as this node reads them: once a bundle. */
  readonly store: boolean;
}

export interface ExamineRequest {
  readonly dns: readonly Address[];
  /** Other nodes to probe. */
  readonly peers: number;
}

export interface ProbeFrom extends ProbeRequest {
  /** "namespace/name"; absent: from the node itself. */
  readonly pod?: string;
}

export interface WatchRequest {
  readonly places: readonly { readonly pod?: string; readonly device: string }[];
  /** One or two: packetFilter. */
  readonly hosts: readonly [Address] | readonly [Address, Address];
  readonly vxlanPorts: readonly number[];
  /** tcpdump's filter, compiled. */
  readonly program?: BpfProgram;
  readonly milliseconds: number;
  readonly bytes: number;
  readonly snapLength: number;
}

/** Bounds of what one question may ask for. */
export const limits = {
  places: 64,
  milliseconds: 300_000,
  bytes: 8 << 20,
  snapLength: 65_535,
  probeTimeout: 10_000,
  peers: 10_000,
  size: 65_535,
  flows: 1000,
};

type Fields = Readonly<Record<string, unknown>>;

const wrong = (message: string): TwillError => new TwillError("invalid", message, { operation: "read question" });

function fieldsOf(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("an object was expected");
  return value as Fields;
}

function textOf(value: unknown, what: string, pattern: RegExp): string {
  if (typeof value !== "string" || !pattern.test(value))
    throw wrong(`${what} is ${JSON.stringify(value)?.slice(0, 60)}`);
  return value;
}

function numberOf(value: unknown, what: string, minimum: number, maximum: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < minimum || value > maximum)
    throw wrong(`${what} is ${JSON.stringify(value)?.slice(0, 60)}, not ${minimum} to ${maximum}`);
  return value;
}

function listOf(value: unknown, what: string, maximum: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > maximum) throw wrong(`${what} is not a list of at most ${maximum}`);
  return value;
}

const address = (value: unknown): Address => parseAddress(textOf(value, "address", /^[0-9a-f.:]{2,45}$/));
const optional = <T, K extends string>(key: K, value: unknown, read: (value: unknown) => T): { [P in K]?: T } =>
  (value === undefined ? {} : { [key]: read(value) }) as { [P in K]?: T };

/** Kubernetes names (RFC 1123), the namespace before the slash; runtimes without them leave "-". */
const podName = /^[-a-z0-9.]{1,253}(\/[-a-z0-9.]{1,253})?$/;
/** IFNAMSIZ, and what the kernel allows (dev_valid_name). */
const deviceName = /^[^\s/:]{1,15}$/;
const port = (value: unknown): number => numberOf(value, "port", 1, 65_535);
const pod = (value: unknown): string => textOf(value, "pod", podName);
/** As people name one: a pod, an address, node/NAME. */
const end = (value: unknown): string => textOf(value, "end", /^[-a-z0-9.:/]{1,507}$/);

/** Parameters as they came, checked. @throws TwillError `invalid`. */
export const readAsked: { readonly [Q in Question]: (params: unknown) => Asked<Q> } = {
  devices: () => ({}),
  card: () => ({}),
  checks: () => ({}),
  decisions: () => ({}),
  policyPart: (params) => ({ ends: listOf(fieldsOf(params).ends, "ends", 2).map(end) }),
  policyRows: (params) => {
    const { source, destination, protocol: number, port: at } = fieldsOf(params);
    return {
      source: address(source),
      destination: address(destination),
      protocol: numberOf(number, "protocol", 0, 255),
      port: numberOf(at, "port", 0, 65_535),
    };
  },
  flows: (params) => {
    const { filter, place, limit } = fieldsOf(params);
    return {
      filter: readFlowFilter(filter),
      limit: numberOf(limit, "limit", 1, limits.flows),
      ...optional("place", place, (value) => numberOf(value, "place", 0, Number.MAX_SAFE_INTEGER)),
    };
  },
  report: (params) => ({ store: fieldsOf(params).store === true }),
  examine: (params) => {
    const { dns, peers } = fieldsOf(params);
    return { dns: listOf(dns, "dns", 8).map(address), peers: numberOf(peers, "peers", 0, limits.peers) };
  },
  find: (params) => ({ pod: textOf(fieldsOf(params).pod, "pod", /^[-a-z0-9.:/]{1,507}$/) }),
  walk: (params) => {
    const { entry, packet } = fieldsOf(params);
    return { entry: readEntry(entry), packet: readPacket(packet) };
  },
  probe: (params) => {
    const fields = fieldsOf(params);
    return {
      destination: address(fields.destination),
      protocol: protocol(fields.protocol),
      timeout: numberOf(fields.timeout, "timeout", 1, limits.probeTimeout),
      ...optional("source", fields.source, address),
      ...optional("pod", fields.pod, pod),
      ...optional("port", fields.port, port),
      ...(fields.dns === true ? { dns: true } : {}),
      ...optional("size", fields.size, (size) => numberOf(size, "size", 28, limits.size)),
    };
  },
  watch: (params) => {
    const fields = fieldsOf(params);
    const [first, second, ...more] = listOf(fields.hosts, "hosts", 2).map(address);
    if (first === undefined || more.length > 0) throw wrong("one or two hosts can be watched");
    return {
      places: listOf(fields.places, "places", limits.places).map((place) => {
        const { pod: inside, device } = fieldsOf(place);
        return { device: textOf(device, "device", deviceName), ...optional("pod", inside, pod) };
      }),
      hosts: second === undefined ? [first] : [first, second],
      vxlanPorts: listOf(fields.vxlanPorts, "ports", 4).map(port),
      milliseconds: numberOf(fields.milliseconds, "milliseconds", 1, limits.milliseconds),
      bytes: numberOf(fields.bytes, "bytes", 1, limits.bytes),
      snapLength: numberOf(fields.snapLength, "snapLength", 14, limits.snapLength),
      ...optional("program", fields.program, readProgram),
    };
  },
  watched: (params) => ({ id: textOf(fieldsOf(params).id, "id", /^[0-9a-f]{16}$/) }),
};

const protocol = (value: unknown): ProbePacket["protocol"] => {
  const known = (["icmp", "tcp", "udp"] as const).find((candidate) => candidate === value);
  if (known === undefined) throw wrong("the protocol is none of icmp, tcp, udp");
  return known;
};

/** The kernel checks the program itself (bpf_check_classic); here only that every number fits its field. */
const readProgram = (value: unknown): BpfProgram =>
  listOf(value, "program", 4096).map((step) => {
    const { code, jt, jf, k } = fieldsOf(step);
    return {
      code: numberOf(code, "code", 0, 0xffff),
      jt: numberOf(jt, "jt", 0, 0xff),
      jf: numberOf(jf, "jf", 0, 0xff),
      k: numberOf(k, "k", 0, 0xffff_ffff),
    };
  });

function readPacket(value: unknown): ProbePacket {
  const fields = fieldsOf(value);
  return {
    source: address(fields.source),
    destination: address(fields.destination),
    protocol: protocol(fields.protocol),
    size: numberOf(fields.size, "size", 20, limits.size),
    ...optional("sourcePort", fields.sourcePort, port),
    ...optional("destinationPort", fields.destinationPort, port),
    ...(fields.reply === true ? { reply: true } : {}),
  };
}

function readEntry(value: unknown): Entry {
  const fields = fieldsOf(value);
  if (fields.from === "pod") return { from: "pod", pod: pod(fields.pod) };
  if (fields.from === "node") return { from: "node" };
  if (fields.from !== "wire") throw wrong("a packet comes from a pod, the node or the wire");
  return { from: "wire", ...optional("encapsulation", fields.encapsulation, readEncapsulation) };
}

function readEncapsulation(value: unknown): Encapsulation {
  const fields = fieldsOf(value);
  return {
    vni: numberOf(fields.vni, "VNI", 0, 0xff_ffff),
    port: port(fields.port),
    local: address(fields.local),
    remote: address(fields.remote),
    destinationMac: parseMac(textOf(fields.destinationMac, "MAC", /^[0-9a-f:]{17}$/)),
  };
}
