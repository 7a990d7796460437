import { fromHex, hex } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import type { NftExpression } from "../../objects/nft-expression.ts";
import { AttributeReader, type AttributeWriter, NLA_F_NESTED } from "../netlink/attributes.ts";
import { NFTA_LIST_ELEM, type Struct } from "./codec.ts";
import { dynamicSet } from "./expression-dynset.ts";
import { type ExpressionSpec, expressionSpecs } from "./expression-specs.ts";

/** enum nft_expr_attributes. */
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;

const specs: Readonly<Record<Exclude<NftExpression["type"], "raw">, ExpressionSpec>> = {
  ...expressionSpecs,
  dynset: { name: "dynset", struct: dynamicSet(writeExpression, writeExpressions, readInner, readAllInner) },
};

/** Several of our types may share a module, e.g. reading and setting a mark: the first whose attributes fit is it. */
type Candidates = ReadonlyMap<string, readonly Struct<NftExpression>[]>;

const candidatesOf = (list: readonly ExpressionSpec[]): Candidates => {
  const grouped = Map.groupBy(list, ({ name }) => name);
  return new Map([...grouped].map(([name, group]) => [name, group.map(({ struct }) => struct)]));
};
const all = candidatesOf(Object.values(specs));
/** Inside dynset stand counters, limits and the like, never another dynset: so decoding cannot be made to nest without end. */
const inner = candidatesOf(Object.values(expressionSpecs));

/** Name and data, for the inside of a nest. */
export function writeExpression(writer: AttributeWriter, expression: NftExpression): void {
  if (expression.type === "raw") {
    writer.string(NFTA_EXPR_NAME, expression.name).raw(NFTA_EXPR_DATA | NLA_F_NESTED, fromHex(expression.data));
    return;
  }
  const { name, struct } = specs[expression.type];
  writer.string(NFTA_EXPR_NAME, name);
  writer.nested(NFTA_EXPR_DATA | NLA_F_NESTED, () => struct.write(writer, expression));
}

/** A list of NFTA_LIST_ELEM, for the inside of a nest. */
export function writeExpressions(writer: AttributeWriter, expressions: readonly NftExpression[]): void {
  for (const expression of expressions) {
    writer.nested(NFTA_LIST_ELEM | NLA_F_NESTED, () => writeExpression(writer, expression));
  }
}

/** @throws TwillError `corrupt` when lengths do not fit. What is only unknown becomes `raw`. */
export const readExpression = (attributes: AttributeReader): NftExpression => read(attributes, all);
export const readExpressions = (attributes: AttributeReader): NftExpression[] => readList(attributes, all);

function readInner(attributes: AttributeReader): NftExpression {
  return read(attributes, inner);
}
function readAllInner(attributes: AttributeReader): NftExpression[] {
  return readList(attributes, inner);
}

function read(attributes: AttributeReader, candidates: Candidates): NftExpression {
  let name: string | undefined;
  let data: Uint8Array = nothing;
  while (attributes.next()) {
    if (attributes.type === NFTA_EXPR_NAME) name = attributes.string();
    else if (attributes.type === NFTA_EXPR_DATA) data = attributes.bytes();
  }
  if (name === undefined) throw new TwillError("corrupt", "an nf_tables expression has no name");
  for (const struct of candidates.get(name) ?? []) {
    const found = struct.read(new AttributeReader(data));
    if (found !== undefined) return found;
  }
  return { type: "raw", name, data: hex(data) };
}

const nothing = new Uint8Array(0);

function readList(attributes: AttributeReader, candidates: Candidates): NftExpression[] {
  const expressions: NftExpression[] = [];
  while (attributes.next()) {
    if (attributes.type === NFTA_LIST_ELEM) expressions.push(read(attributes.nested(), candidates));
  }
  return expressions;
}
