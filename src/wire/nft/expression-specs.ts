import {
  comparisons,
  ctKeys,
  fibFlags,
  fibResults,
  logLevels,
  metaKeys,
  type NftExpression,
  type NftExpressionOf,
  type NftRegister,
  payloadBases,
  socketKeys,
} from "../../objects/nft-expression.ts";
import {
  bit,
  type Codec,
  data,
  type Field,
  type Fields,
  flags,
  named,
  oneOf,
  register,
  type Struct,
  type StructOptions,
  safe64,
  string,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "./codec.ts";
import { natStruct, portRangeStruct } from "./expression-nat.ts";
import { verdict } from "./verdict.ts";

/** How one of our expression types stands on the wire: the kernel's module name and the attributes of its data. */
export interface ExpressionSpec {
  readonly name: string;
  readonly struct: Struct<NftExpression>;
}

/**
 * Each expression's attributes (include/uapi/linux/netfilter/nf_tables.h: enum nft_payload_attributes and so on; the
 * numbers are those of the enums). Fields with a fallback are left out when the kernel reports what it would have done
 * anyway, so that a rule read back equals the rule that was written.
 */
const at = <T>(attribute: number, codec: Field<T>["codec"]): Field<T> => ({ attribute, codec });
const or = <T>(attribute: number, codec: Field<T>["codec"], fallback: T): Field<T> => ({ attribute, codec, fallback });

/** NFT_PAYLOAD_CSUM_* */
const checksums = ["none", "inet", "sctp"] as const;
const directions = ["original", "reply"] as const;

function spec<T extends NftExpression["type"]>(
  name: string,
  type: T,
  fields: Fields<NftExpressionOf<T>>,
  options: StructOptions<NftExpressionOf<T>> = {},
): ExpressionSpec {
  // `type` decides which struct writes a value, so each sees its own type only.
  const own = struct<NftExpressionOf<T>>({ type } as Partial<NftExpressionOf<T>>, fields, options);
  return { name, struct: own as unknown as Struct<NftExpression> };
}

/** A register, or NFT_REG_VERDICT (0) for the verdict of a verdict map. */
const target: Codec<NftRegister | "verdict"> = {
  write: (writer, attribute, value) =>
    value === "verdict" ? writer.u32be(attribute, 0) : register.write(writer, attribute, value),
  read: (attribute) => (attribute.u32be() === 0 ? "verdict" : register.read(attribute)),
};

export const expressionSpecs = {
  payload: spec("payload", "payload", {
    to: at(1, register),
    base: at(2, oneOf(payloadBases)),
    offset: at(3, u32),
    length: at(4, u32),
  }),
  "payload.set": spec("payload", "payload.set", {
    from: at(5, register),
    base: at(2, oneOf(payloadBases)),
    offset: at(3, u32),
    length: at(4, u32),
    checksum: at(6, oneOf(checksums)),
    checksumOffset: or(7, u32, 0),
    pseudoHeader: or(8, bit(1), false),
  }),
  meta: spec("meta", "meta", { key: at(2, oneOf(metaKeys)), to: at(1, register) }),
  "meta.set": spec("meta", "meta.set", { key: at(2, oneOf(metaKeys)), from: at(3, register) }),
  ct: spec(
    "ct",
    "ct",
    { key: at(2, oneOf(ctKeys)), to: at(1, register), direction: at(3, oneOf(directions, u8)) },
    { optional: ["direction"] },
  ),
  "ct.set": spec(
    "ct",
    "ct.set",
    { key: at(2, oneOf(ctKeys)), from: at(4, register), direction: at(3, oneOf(directions, u8)) },
    { optional: ["direction"] },
  ),
  cmp: spec("cmp", "cmp", { from: at(1, register), op: at(2, oneOf(comparisons)), value: at(3, data) }),
  range: spec("range", "range", {
    from: at(1, register),
    op: at(2, oneOf(["eq", "neq"])),
    first: at(3, data),
    last: at(4, data),
  }),
  bitwise: spec(
    "bitwise",
    "bitwise",
    { from: at(1, register), to: at(2, register), length: at(3, u32), mask: at(4, data), xor: at(5, data) },
    { fixed: { 6: 0 } }, // NFT_BITWISE_MASK_XOR
  ),
  shift: spec("bitwise", "shift", {
    from: at(1, register),
    to: at(2, register),
    length: at(3, u32),
    direction: at(6, oneOf(["left", "right"], u32, 1)),
    bits: at(7, data),
  }),
  byteorder: spec("byteorder", "byteorder", {
    from: at(1, register),
    to: at(2, register),
    op: at(3, oneOf(["ntoh", "hton"])),
    length: at(4, u32),
    size: at(5, named({ 2: 2, 4: 4, 8: 8 })),
  }),
  lookup: spec(
    "lookup",
    "lookup",
    {
      set: at(1, string),
      from: at(2, register),
      to: at(3, target),
      invert: or(5, bit(1), false),
    },
    { optional: ["to"] },
  ),
  immediate: spec("immediate", "immediate", { to: at(1, register), value: at(2, data) }),
  verdict: spec("immediate", "verdict", { verdict: at(2, verdict) }, { fixed: { 1: 0 } }), // to NFT_REG_VERDICT
  counter: spec(
    "counter",
    "counter",
    { bytes: at(1, u64), packets: at(2, u64) },
    { optional: ["bytes", "packets"], ignored: [3] },
  ),
  nat: { name: "nat", struct: natStruct },
  masquerade: { name: "masq", struct: portRangeStruct("masquerade", { flags: 1, port: 2, portEnd: 3 }) },
  redirect: { name: "redir", struct: portRangeStruct("redirect", { port: 1, portEnd: 2, flags: 3 }) },
  reject: spec(
    "reject",
    "reject",
    { kind: at(1, oneOf(["icmp", "tcp-reset", "icmpx"])), code: at(2, u8) },
    { optional: ["code"] },
  ),
  log: spec(
    "log",
    "log",
    {
      group: at(1, u16),
      prefix: at(2, string),
      snaplen: or(3, u32, 0),
      threshold: or(4, u16, 0),
      level: or(5, oneOf(logLevels), "warn"),
      flags: or(6, u32, 0),
    },
    { optional: ["group", "prefix"] },
  ),
  limit: spec(
    "limit",
    "limit",
    {
      rate: at(1, safe64),
      unit: at(2, safe64),
      burst: at(3, u32),
      of: at(4, oneOf(["packets", "bytes"])),
      invert: or(5, bit(1), false),
    },
    { ignored: [6] },
  ),
  fib: spec("fib", "fib", { to: at(1, register), result: at(2, oneOf(fibResults)), flags: at(3, flags(fibFlags)) }),
  notrack: spec("notrack", "notrack", {}),
  object: spec("objref", "object", { object: at(1, u32), name: at(2, string) }),
  "object.map": spec("objref", "object.map", { from: at(3, register), set: at(4, string) }),
  socket: spec(
    "socket",
    "socket",
    { key: at(1, oneOf(socketKeys)), to: at(2, register), level: at(3, u32) },
    { optional: ["level"] },
  ),
  numgen: spec("numgen", "numgen", {
    to: at(1, register),
    modulus: at(2, u32),
    kind: at(3, oneOf(["incremental", "random"])),
    offset: or(4, u32, 0),
  }),
  jhash: spec(
    "hash",
    "jhash",
    {
      from: at(1, register),
      to: at(2, register),
      length: at(3, u32),
      modulus: at(4, u32),
      seed: or(5, u32, 0),
      offset: or(6, u32, 0),
    },
    { fixed: { 7: 0 } }, // NFT_HASH_JENKINS
  ),
};
