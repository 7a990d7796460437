import type { NftElement, NftRule, NftSet } from "../objects/nft.ts";
import { bytesOfData, type NftData } from "../objects/nft-data.ts";
import { ctState, type NftExpression, type NftExpressionOf, type NftVerdict } from "../objects/nft-expression.ts";
import type { Ruleset } from "./kernel-view.ts";
import { etherTypeOf, networkHeader, type ProbePacket, protocolNumber, transportHeader } from "./probe-packet.ts";

/** What a rule sees of a packet at a hook. */
export interface RuleContext {
  readonly packet: ProbePacket;
  readonly inputDevice?: { readonly name: string; readonly index: number };
  readonly outputDevice?: { readonly name: string; readonly index: number };
}

/** Whether a rule applies: "maybe" where it asks for something that a model cannot know (a rate, a socket, xtables code). */
export interface RuleMatch {
  readonly matches: "yes" | "no" | "maybe";
  readonly verdict?: NftVerdict;
  readonly effect?: "reject" | "masquerade" | "snat" | "dnat" | "redirect";
}

type Register = Uint8Array | undefined;

/** One rule, expression by expression, as nft_do_chain does it. A register of undefined is one whose value is not known. */
export function matchRule(ruleset: Ruleset, rule: NftRule, context: RuleContext): RuleMatch {
  const registers = new Map<number, Register>();
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
  registers: Map<number, Register>,
  context: RuleContext,
): Step {
  const load = (to: number, value: Register): Step => {
    registers.set(to, value);
    return "next";
  };
  switch (expression.type) {
    case "payload":
      return load(expression.to, payload(expression, context.packet));
    case "meta":
      return load(expression.to, meta(expression.key, context));
    case "ct":
      return load(expression.to, conntrack(expression.key, context.packet));
    case "immediate":
      return load(expression.to, bytesOfData(expression.value));
    case "bitwise":
      return load(expression.to, bitwise(registers.get(expression.from), expression));
    case "cmp":
      return compare(registers.get(expression.from), expression);
    case "range":
      return within(registers.get(expression.from), expression);
    case "lookup":
      return lookup(ruleset, rule, expression, registers);
    case "verdict":
      return { verdict: expression.verdict };
    case "reject":
    case "masquerade":
    case "redirect":
      return { effect: expression.type };
    case "nat":
      return { effect: expression.kind };
    case "counter":
    case "log":
    case "meta.set":
    case "ct.set":
    case "notrack":
    case "payload.set":
    case "object":
      return "next";
    case "raw":
      return xtables(expression);
    case "fib":
    case "byteorder":
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

function payload({ base, offset, length }: NftExpressionOf<"payload">, packet: ProbePacket): Register {
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

function meta(key: NftExpressionOf<"meta">["key"], { packet, inputDevice, outputDevice }: RuleContext): Register {
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
    case "priority":
    case "pkttype":
      return key === "pkttype" ? u8(0) : host(0);
    default:
      return undefined;
  }
}

function conntrack(key: NftExpressionOf<"ct">["key"], packet: ProbePacket): Register {
  const reply = packet.reply === true;
  if (key === "state") return host(reply ? ctState.established : ctState.new);
  if (key === "direction") return u8(reply ? 1 : 0);
  if (key === "mark") return host(0);
  return undefined;
}

function bitwise(value: Register, { length, mask, xor }: NftExpressionOf<"bitwise">): Register {
  if (value === undefined) return undefined;
  const [and, or] = [bytesOfData(mask), bytesOfData(xor)];
  return Uint8Array.from({ length }, (_, index) => ((value[index] ?? 0) & (and[index] ?? 0)) ^ (or[index] ?? 0));
}

/** A register is compared over the value's bytes (nft_cmp_eval: memcmp). */
function compare(value: Register, { op, value: wanted }: NftExpressionOf<"cmp">): Step {
  if (value === undefined) return "maybe";
  const right = bytesOfData(wanted);
  const order = Buffer.compare(padded(value, right.length), right);
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

function within(value: Register, { op, first, last }: NftExpressionOf<"range">): Step {
  if (value === undefined) return "maybe";
  const [low, high] = [bytesOfData(first), bytesOfData(last)];
  const of = padded(value, low.length);
  const inside = Buffer.compare(of, low) >= 0 && Buffer.compare(of, high) <= 0;
  return inside === (op === "eq") ? "next" : "no";
}

function padded(value: Uint8Array, length: number): Uint8Array {
  if (value.length >= length) return value.subarray(0, length);
  const whole = new Uint8Array(length);
  whole.set(value);
  return whole;
}

function lookup(
  ruleset: Ruleset,
  { family, table }: NftRule,
  expression: NftExpressionOf<"lookup">,
  registers: Map<number, Register>,
): Step {
  const set = ruleset.sets.find((one) => one.family === family && one.table === table && one.name === expression.set);
  if (set === undefined) return "maybe";
  const key = keyAt(registers, expression.from, set.keyLength);
  if (key === undefined) return "maybe";
  const element = findElement(set, ruleset.elements(family, table, set.name), key);
  if ((element === undefined) !== (expression.invert === true)) return "no";
  if (expression.to === undefined || element?.data === undefined) return "next";
  if (expression.to === "verdict") return typeof element.data === "string" ? "maybe" : { verdict: element.data };
  registers.set(expression.to, typeof element.data === "string" ? bytesOfData(element.data) : undefined);
  return "next";
}

/** A concatenated key lies in registers of four bytes, side by side. */
function keyAt(registers: ReadonlyMap<number, Register>, from: number, length: number): string | undefined {
  const key = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const word = from + at / 4;
    if (!registers.has(word)) return undefined;
    const value = registers.get(word);
    if (value === undefined) return undefined;
    key.set(value.subarray(0, length - at), at);
    at += Math.max(4, Math.ceil(value.length / 4) * 4);
  }
  return key.toHex();
}

function findElement(set: NftSet, elements: readonly NftElement[], key: string): NftElement | undefined {
  const exact = elements.find((element) => element.key === key && element.intervalEnd !== true && !element.keyEnd);
  if (exact !== undefined) return exact;
  const ranged = set.interval === true ? findRange(set, elements, key) : undefined;
  return ranged ?? elements.find((element) => element.key === "");
}

function findRange(set: NftSet, elements: readonly NftElement[], key: string): NftElement | undefined {
  if (set.key.length > 1) {
    // Each field on registers of its own, so each is compared alone; fields are padded to 4 bytes, like both ends.
    return elements.find(({ key: first, keyEnd }) => keyEnd !== undefined && words(key, first, keyEnd));
  }
  let start: NftElement | undefined;
  for (const element of [...elements].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))) {
    if (element.key === "" || element.key > key) continue;
    start = element.intervalEnd === true ? undefined : element;
  }
  return start;
}

const words = (key: string, first: NftData | "", last: NftData): boolean => {
  for (let at = 0; at < key.length; at += 8) {
    const word = key.slice(at, at + 8);
    if (word < first.slice(at, at + 8) || word > last.slice(at, at + 8)) return false;
  }
  return true;
};

/** iptables-nft: matches and targets of xtables, whose data opens with... nothing but their own struct; the name is the expression's. */
function xtables({ name, data }: NftExpressionOf<"raw">): Step {
  const called = (text: string) => data.includes(Buffer.from(`${text}\0`).toString("hex"));
  if (name === "match") return called("comment") ? "next" : "maybe";
  if (name !== "target") return "maybe";
  if (called("REJECT") || called("DROP")) return { effect: "reject" };
  if (called("MASQUERADE")) return { effect: "masquerade" };
  return "next";
}
