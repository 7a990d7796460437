import type { NftExpression, NftExpressionOf } from "../../objects/nft-expression.ts";
import { type AttributeReader, type AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";
import { type Codec, oneOf, register, type Struct, safe64, string, struct, u32 } from "./codec.ts";

/** enum nft_dynset_flags. */
const NFT_DYNSET_F_INV = 1;
const NFT_DYNSET_F_EXPR = 2;

/** One expression stands in NFTA_DYNSET_EXPR, several (5.11) in a list in NFTA_DYNSET_EXPRESSIONS. */
type OnWire = Omit<NftExpressionOf<"dynset">, "expressions" | "invert"> & {
  readonly flags: number;
  readonly single?: NftExpression;
  readonly several?: readonly NftExpression[];
};

/** The functions are passed in because expressions hold dynset, and dynset holds expressions. */
export function dynamicSet(
  write: (writer: AttributeWriter, expression: NftExpression) => void,
  writeAll: (writer: AttributeWriter, expressions: readonly NftExpression[]) => void,
  read: (attributes: AttributeReader) => NftExpression,
  readAll: (attributes: AttributeReader) => NftExpression[],
): Struct<NftExpression> {
  const single: Codec<NftExpression> = {
    write: (writer, attribute, value) => {
      writer.nested(attribute | NLA_F_NESTED, () => write(writer, value));
    },
    read: (attribute) => read(attribute.nested()),
  };
  const several: Codec<readonly NftExpression[]> = {
    write: (writer, attribute, value) => {
      writer.nested(attribute | NLA_F_NESTED, () => writeAll(writer, value));
    },
    read: (attribute) => readAll(attribute.nested()),
  };
  const wire = struct<OnWire>(
    { type: "dynset" },
    {
      set: { attribute: 1, codec: string },
      op: { attribute: 3, codec: oneOf(["add", "update", "delete"]) },
      key: { attribute: 4, codec: register },
      data: { attribute: 5, codec: register },
      timeout: { attribute: 6, codec: safe64, fallback: 0 },
      single: { attribute: 7, codec: single },
      flags: { attribute: 9, codec: u32, fallback: 0 },
      several: { attribute: 10, codec: several },
    },
    { optional: ["data", "timeout", "single", "several"], ignored: [8] },
  );
  return {
    write: (writer, expression) => {
      const { expressions = [], invert, ...rest } = expression as NftExpressionOf<"dynset">;
      const [first] = expressions;
      const bits = (invert === true ? NFT_DYNSET_F_INV : 0) | (first === undefined ? 0 : NFT_DYNSET_F_EXPR);
      const inner = first === undefined ? {} : expressions.length === 1 ? { single: first } : { several: expressions };
      wire.write(writer, { ...rest, ...inner, ...(bits === 0 ? {} : { flags: bits }) } as OnWire);
    },
    read: (attributes) => {
      const value = wire.read(attributes);
      if (value === undefined) return undefined;
      const { flags = 0, single: one, several: list, ...rest } = value;
      if ((flags & ~(NFT_DYNSET_F_INV | NFT_DYNSET_F_EXPR)) !== 0) return undefined;
      const expressions = list ?? (one === undefined ? [] : [one]);
      return {
        ...rest,
        ...((flags & NFT_DYNSET_F_INV) === 0 ? {} : { invert: true }),
        ...(expressions.length === 0 ? {} : { expressions }),
      };
    },
  };
}
