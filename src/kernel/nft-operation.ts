import type { NftFamily } from "../objects/nft.ts";
import type { NetlinkRequest } from "../wire/netlink/message.ts";
import { deleteChain, newChain } from "../wire/nft/chain.ts";
import { deleteElements, flushElements, newElements } from "../wire/nft/element.ts";
import { deleteRule, newRule } from "../wire/nft/rule.ts";
import { deleteSet, newSet } from "../wire/nft/set.ts";
import { deleteTable, newTable } from "../wire/nft/table.ts";
import { EBUSY, EEXIST, ENFILE, EPERM } from "./errno.ts";
import type { NftOperation } from "./nft.ts";

/** The messages of one operation. @param id a number that no other operation of the transaction has. */
export function encodeNftOperation(operation: NftOperation, id: number): NetlinkRequest[] {
  switch (operation.op) {
    case "table.add":
      return [newTable(operation.table)];
    case "table.delete":
      return [deleteTable(operation.family, operation.table)];
    case "chain.add":
      return [newChain(operation.chain)];
    case "chain.delete":
      return [deleteChain(operation.family, operation.table, operation.chain)];
    case "chain.flush":
      return [deleteRule(operation.family, operation.table, operation.chain)];
    case "rule.add":
      return [newRule(operation.rule, operation.place ?? { at: "end" })];
    case "rule.delete":
      return [deleteRule(operation.family, operation.table, operation.chain, operation.handle)];
    case "set.add":
      return [newSet(operation.set, id)];
    case "set.delete":
      return [deleteSet(operation.set.family, operation.set.table, operation.set.set)];
    case "set.flush":
      return [flushElements(operation.set)];
    case "element.add":
      return newElements(operation.set, operation.elements);
    case "element.delete":
      return deleteElements(operation.set, operation.elements);
  }
}

/** One line that tells what was attempted on what, for errors and logs. */
export function describeNftOperation(operation: NftOperation): { readonly operation: string; readonly object: string } {
  const path = (family: NftFamily, ...names: readonly string[]): string => `${family} ${names.join(" ")}`;
  const verb = { add: "add", delete: "delete", flush: "flush" };
  const [subject, action] = operation.op.split(".") as [string, keyof typeof verb];
  const label = `${verb[action]} nf_tables ${subject}`;
  switch (operation.op) {
    case "table.add":
      return { operation: label, object: path(operation.table.family, operation.table.name) };
    case "table.delete":
      return { operation: label, object: path(operation.family, operation.table) };
    case "chain.add":
      return { operation: label, object: path(operation.chain.family, operation.chain.table, operation.chain.name) };
    case "chain.delete":
    case "chain.flush":
      return { operation: label, object: path(operation.family, operation.table, operation.chain) };
    case "rule.add": {
      const { family, table, chain, comment, key } = operation.rule;
      const name = comment ?? key;
      return { operation: label, object: path(family, table, chain, ...(name === undefined ? [] : [`"${name}"`])) };
    }
    case "rule.delete":
      return {
        operation: label,
        object: path(operation.family, operation.table, operation.chain, `handle ${operation.handle}`),
      };
    case "set.add":
      return { operation: label, object: path(operation.set.family, operation.set.table, operation.set.name) };
    default: {
      const { family, table, set } = operation.set;
      const count = "elements" in operation ? [`(${operation.elements.length} elements)`] : [];
      return { operation: label, object: path(family, table, set, ...count) };
    }
  }
}

/** What an errno means here, where strerror(3) misleads; and what to do. */
export function nftRefusal(
  operation: NftOperation,
  errno: number,
): { readonly message: string; readonly remedy: string } | undefined {
  if (errno === EPERM) {
    return {
      message: "another process owns the table",
      remedy: "stop it; while it lives, nobody else may change the table",
    };
  }
  if (operation.op === "element.add" && errno === ENFILE) {
    return { message: "the set is full: it takes no more than its declared size", remedy: "declare a larger size" };
  }
  if (operation.op === "element.add" && errno === EEXIST) {
    return { message: "an element with this key has other data", remedy: "delete it in the same transaction" };
  }
  if (operation.op === "set.add" && errno === EEXIST) {
    return { message: "a set of that name has another shape", remedy: "delete it in the same transaction" };
  }
  if (operation.op.endsWith("delete") && errno === EBUSY) {
    return { message: "it is still referred to", remedy: "delete the rules and elements that refer to it first" };
  }
  return undefined;
}
