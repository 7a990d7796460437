import type {
  NftChain,
  NftElement,
  NftFamily,
  NftRule,
  NftSet,
  NftSetName,
  NftTable,
  NftTableContent,
} from "../objects/nft.ts";
import type { RulePlace } from "../wire/nft/rule.ts";

/**
 * nf_tables of one network namespace (that of the moment the socket was opened). Synchronous. Implemented by the kernel's
 * socket and by a fake that refuses what the kernel refuses; one contract suite holds both.
 */
export interface Nft {
  /**
   * All operations or none, in their order.
   * @throws TwillError naming the operation that was refused, with errno. Besides the kernel's codes:
   * `conflict`: the ruleset is not of the generation that was expected.
   * `unavailable`: the answer was lost, and it is unknown whether the transaction took effect: read again.
   * `exhausted` with EMSGSIZE: too large for one send; nothing was done.
   */
  transaction(operations: readonly NftOperation[], options?: TransactionOptions): void;
  tables(family?: NftFamily): NftTable[];
  chains(family?: NftFamily): NftChain[];
  /** In order within each chain. */
  rules(filter?: RuleFilter): NftRule[];
  /** @throws TwillError `not-found` when the given table does not exist. */
  sets(family?: NftFamily, table?: string): NftSet[];
  /** @throws TwillError `not-found` when there is no such set. */
  elements(set: NftSetName): NftElement[];
  /** A table with all that is in it, as of one generation; undefined when there is none. */
  read(family: NftFamily, table: string): NftTableContent | undefined;
  /** Counts the transactions of the network namespace, whoever made them. 32 bits. */
  generation(): number;
  /** Netlink port: a table whose ownerPort this is is ours alone. */
  readonly port: number;
  readonly counters: NftCounters;
  close(): void;
}

export interface TransactionOptions {
  /** Refuse, as `conflict`, when somebody else changed any table since this generation. */
  readonly generation?: number;
  /**
   * The operations stand each for itself, such as filling a set that no rule refers to yet: where they do not fit into one
   * send they may be made in several transactions, in order.
   */
  readonly separable?: boolean;
}

export interface RuleFilter {
  readonly family?: NftFamily;
  readonly table?: string;
  readonly chain?: string;
}

/** Changes made, by operation; a restart that changes nothing adds nothing to `writes`. */
export interface NftCounters {
  readonly writes: Readonly<Record<string, number>>;
  readonly transactions: number;
  readonly failures: number;
  readonly dumps: number;
  readonly retriedDumps: number;
}

/** A change, as a printable value. */
export type NftOperation =
  | { readonly op: "table.add"; readonly table: NftTable }
  /** With all that is in it. */
  | { readonly op: "table.delete"; readonly family: NftFamily; readonly table: string }
  /** Of a base chain that exists, changes the policy. */
  | { readonly op: "chain.add"; readonly chain: NftChain }
  /** With its rules. */
  | { readonly op: "chain.delete"; readonly family: NftFamily; readonly table: string; readonly chain: string }
  /** All its rules. */
  | { readonly op: "chain.flush"; readonly family: NftFamily; readonly table: string; readonly chain: string }
  /** At the end, unless `place` says otherwise. */
  | { readonly op: "rule.add"; readonly rule: NftRule; readonly place?: RulePlace }
  | {
      readonly op: "rule.delete";
      readonly family: NftFamily;
      readonly table: string;
      readonly chain: string;
      readonly handle: number;
    }
  | { readonly op: "set.add"; readonly set: NftSet }
  | { readonly op: "set.delete" | "set.flush"; readonly set: NftSetName }
  | {
      readonly op: "element.add" | "element.delete";
      readonly set: NftSetName;
      readonly elements: readonly NftElement[];
    };
