import type { NftElement, NftRule } from "../objects/nft.ts";
import { bytesOfData } from "../objects/nft-data.ts";
import { ctState, type NftExpression, type NftExpressionOf, type NftVerdict } from "../objects/nft-expression.ts";
import type { Ruleset } from "./kernel-view.ts";
import { etherTypeOf, type FilteredPacket, networkHeader, protocolNumber, transportHeader } from "./probe-packet.ts";
import { Registers } from "./registers.ts";
import { findElement } from "./set-lookup.ts";

/** What a rule sees of a packet at a hook. */
export interface RuleContext {
  readonly packet: FilteredPacket;
  readonly inputDevice?: { readonly name: string; readonly index: number };
  readonly outputDevice?: { readonly name: string; readonly index: number };
  /** Absent: the packet is the first of its connection, or the first answer. Bits as `ctState` and `ctStatus` have them. */
  readonly connection?: { readonly state: number; readonly status: number };
  /** What a routing table says; absent: not known. */
  readonly fib?: (question: NftExpressionOf<"fib">) => Uint8Array | undefined;
  /** What rules write. Absent: forgotten, and what they read of it is what a fresh packet has. */
  readonly trail?: PacketTrail;
}

/** What rules leave on a packet and its connection, and where it was counted. */
export class PacketTrail {
  /** Host order. */
  mark = 0;
  /** 128 bits. */
  label: Uint8Array = new Uint8Array(16);
  /** Elements whose counter went up, by their set, in order. */
  readonly counted: { readonly set: string; readonly element: NftElement }[] = [];
  /** nflog groups that were told, in order. */
  readonly logged: number[] = [];
}

/** Whether a rule applies: "maybe" where it asks for something that a model cannot know (a rate, a socket, xtables code). */
export interface RuleMatch {
  readonly matches: "yes" | "no" | "maybe";
  readonly verdict?: NftVerdict;
  readonly effect?: "reject" | "masquerade" | "snat" | "dnat" | "redirect";
}

/** Undefined: not known. */
type Value = Uint8Array | undefined;

/** One rule, expression by expression, as nft_do_chain does it. */
export function matchRule(ruleset: Ruleset, rule: NftRule, context: RuleContext): RuleMatch {
  const registers = new Registers();
  let sure = true;
  let verdict: NftVerdict | undefined;
  let effect: RuleMatch["effect"];
  for (const expression of rule.expressions) {
    const step = evaluate(ruleset, rule, expression, registers, context);
    if (step === "no") return { matches: "no" };
    if (step === "maybe") sure = false;
    else if (typeof step === "object") {
      verdict = step.verdict ?? verdict;
      effect = step.effect ?? effect;
      // The first verdict ends the rule, whatever stands behind it (nft_do_chain).
      if (verdict !== undefined && verdict.verdict !== "continue") break;
    }
  }
  return {
    matches: sure ? "yes" : "maybe",
    ...(verdict === undefined ? {} : { verdict }),
    ...(effect === undefined ? {} : { effect }),
  };
}

type Step = "next" | "no" | "maybe" | Pick<RuleMatch, "verdict" | "effect">;

function evaluate(
  ruleset: Ruleset,
  rule: NftRule,
  expression: NftExpression,
  registers: Registers,
  context: RuleContext,
): Step {
  const load = (to: number, value: Value): Step => {
    registers.load(to, value);
    return "next";
  };
  switch (expression.type) {
    case "payload":
      return load(expression.to, payload(expression, context.packet));
    case "meta":
      return load(expression.to, meta(expression.key, context));
    case "ct":
      return load(expression.to, conntrack(expression.key, context));
    case "immediate":
      return load(expression.to, bytesOfData(expression.value));
    case "bitwise":
      return load(expression.to, bitwise(registers.read(expression.from, expression.length), expression));
    case "cmp":
      return compare(registers.read(expression.from, expression.value.length / 2), expression);
    case "range":
      return within(registers.read(expression.from, expression.first.length / 2), expression);
    case "lookup":
      return lookup(ruleset, rule, expression, registers, context.trail);
    case "verdict":
      return { verdict: expression.verdict };
    case "reject":
    case "masquerade":
    case "redirect":
      return { effect: expression.type };
    case "nat":
      return { effect: expression.kind };
    case "log":
      if (expression.group !== undefined) context.trail?.logged.push(expression.group);
      return "next";
    case "meta.set":
      if (expression.key === "mark") return leave(context.trail, registers.read(expression.from, 4), setMark);
      return "next";
    case "ct.set":
      if (expression.key === "label") return leave(context.trail, registers.read(expression.from, 16), addLabel);
      return "next";
    case "counter":
    case "notrack":
    case "payload.set":
    case "object":
      return "next";
    case "raw":
      return xtables(expression);
    case "fib":
      return load(expression.to, context.fib?.(expression));
    case "byteorder":
      return load(expression.to, swapped(registers.read(expression.from, expression.length), expression.size));
    case "shift":
    case "numgen":
    case "jhash":
    case "socket":
      return load(expression.to, undefined);
    // A rate, or a set that rules fill.
    default:
      return "maybe";
  }
}

function payload({ base, offset, length }: NftExpressionOf<"payload">, packet: FilteredPacket): Value {
  const header =
    base === "network" ? networkHeader(packet) : base === "transport" ? transportHeader(packet) : undefined;
  if (header === undefined || offset + length > header.length) return undefined;
  return header.subarray(offset, offset + length);
}

const u8 = (value: number): Uint8Array => Uint8Array.of(value);
const u16be = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);
const host = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
const interfaceName = (name: string | undefined): Uint8Array => {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name ?? "").subarray(0, 15));
  return bytes;
};

function leave(
  trail: PacketTrail | undefined,
  value: Value,
  write: (on: PacketTrail, value: Uint8Array) => void,
): Step {
  if (trail !== undefined && value !== undefined) write(trail, value);
  return "next";
}

const setMark = (trail: PacketTrail, value: Uint8Array): void => {
  trail.mark = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
};

/** Bits are only ever added (nft_ct_set_eval: nf_connlabels_replace with the value as mask). */
const addLabel = (trail: PacketTrail, value: Uint8Array): void => {
  trail.label = trail.label.map((byte, index) => byte | (value[index] ?? 0));
};

function meta(key: NftExpressionOf<"meta">["key"], { packet, inputDevice, outputDevice, trail }: RuleContext): Value {
  switch (key) {
    case "nfproto":
      return u8(packet.source.includes(":") ? 10 : 2);
    case "l4proto":
      return u8(protocolNumber(packet));
    case "protocol":
      return u16be(etherTypeOf(packet));
    case "iifname":
      return interfaceName(inputDevice?.name);
    case "oifname":
      return interfaceName(outputDevice?.name);
    case "iif":
      return host(inputDevice?.index ?? 0);
    case "oif":
      return host(outputDevice?.index ?? 0);
    case "len":
      return host(packet.size);
    case "mark":
      return host(trail?.mark ?? 0);
    case "priority":
    case "pkttype":
      return key === "pkttype" ? u8(0) : host(0);
    default:
      return undefined;
  }
}

function conntrack(key: NftExpressionOf<"ct">["key"], { packet, connection, trail }: RuleContext): Value {
  const reply = packet.reply === true;
  if (key === "state") return host(connection?.state ?? (reply ? ctState.established : ctState.new));
  if (key === "status") return connection === undefined ? undefined : host(connection.status);
  if (key === "direction") return u8(reply ? 1 : 0);
  if (key === "mark") return host(0);
  if (key === "label") return trail?.label;
  return undefined;
}

function bitwise(value: Value, { length, mask, xor }: NftExpressionOf<"bitwise">): Value {
  if (value === undefined) return undefined;
  const [and, or] = [bytesOfData(mask), bytesOfData(xor)];
  return Uint8Array.from({ length }, (_, index) => ((value[index] ?? 0) & (and[index] ?? 0)) ^ (or[index] ?? 0));
}

/** Between host and network order, number by number: both machines that Twill runs on are little-endian. */
const swapped = (value: Value, size: number): Value =>
  value?.map((_, index) => value[index - (index % size) + size - 1 - (index % size)] ?? 0);

/** A register is compared over the value's bytes (nft_cmp_eval: memcmp). */
function compare(value: Value, { op, value: wanted }: NftExpressionOf<"cmp">): Step {
  if (value === undefined) return "maybe";
  const order = Buffer.compare(value, bytesOfData(wanted));
  const holds = {
    eq: order === 0,
    neq: order !== 0,
    lt: order < 0,
    lte: order <= 0,
    gt: order > 0,
    gte: order >= 0,
  }[op];
  return holds ? "next" : "no";
}

function within(value: Value, { op, first, last }: NftExpressionOf<"range">): Step {
  if (value === undefined) return "maybe";
  const inside = Buffer.compare(value, bytesOfData(first)) >= 0 && Buffer.compare(value, bytesOfData(last)) <= 0;
  return inside === (op === "eq") ? "next" : "no";
}

function lookup(
  ruleset: Ruleset,
  { family, table }: NftRule,
  expression: NftExpressionOf<"lookup">,
  registers: Registers,
  trail: PacketTrail | undefined,
): Step {
  const set = ruleset.sets.find((one) => one.family === family && one.table === table && one.name === expression.set);
  if (set === undefined) return "maybe";
  const key = registers.read(expression.from, set.keyLength);
  if (key === undefined) return "maybe";
  const element = findElement(set, ruleset.elements(family, table, set.name), key.toHex());
  if ((element === undefined) !== (expression.invert === true)) return "no";
  if (element !== undefined && set.counter === true) trail?.counted.push({ set: set.name, element });
  if (expression.to === undefined || element?.data === undefined) return "next";
  if (expression.to === "verdict") return typeof element.data === "string" ? "maybe" : { verdict: element.data };
  registers.load(expression.to, typeof element.data === "string" ? bytesOfData(element.data) : undefined);
  return "next";
}

/** iptables-nft: matches and targets of xtables, whose data opens with... nothing but their own struct; the name is the expression's. */
function xtables({ name, data }: NftExpressionOf<"raw">): Step {
  const called = (text: string) => data.includes(Buffer.from(`${text}\0`).toString("hex"));
  if (name === "match") return called("comment") ? "next" : "maybe";
  if (name !== "target") return "maybe";
  if (called("REJECT") || called("DROP")) return { effect: "reject" };
  if (called("MASQUERADE")) return { effect: "masquerade" };
  return "next";
}
