import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { isCode, TwillError } from "../../../src/base/errors.ts";
import type { Prefix } from "../../../src/base/prefix.ts";
import { AddressBook, type Assignment } from "../../../src/ipam/address-book.ts";
import type { Boot } from "../../../src/ipam/boot.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";

export interface BooksOptions {
  /** Where the books lie. */
  readonly folder: string;
  readonly boot: Boot;
  /** Milliseconds before a released address is given out again. */
  readonly quarantine?: number;
}

const nodeFile = "addresses.db";
const ending = ".network.db";

/**
 * The node's address books: one for the cluster network, and one for each network that brings addresses of its own (`ipam`
 * in its configuration), named after it, for ranges of different networks may overlap.
 */
export class Books {
  readonly node: AddressBook;
  /** Whose addresses a reboot freed. */
  readonly freed: readonly Assignment[];
  readonly #options: BooksOptions;
  readonly #networks = new Map<string, AddressBook>();
  #subnets = "";

  /** @throws TwillError as AddressBook.open. */
  constructor(options: BooksOptions) {
    this.#options = options;
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    const { book, freed } = this.#open(nodeFile, []);
    const allFreed = [...freed];
    this.node = book;
    for (const file of readdirSync(options.folder)) {
      if (!file.endsWith(ending)) continue;
      const opened = this.#open(file, []);
      this.#networks.set(file.slice(0, -ending.length), opened.book);
      allFreed.push(...opened.freed);
    }
    this.freed = allFreed;
  }

  /** The cluster network's book, giving out addresses of these subnets from now on. */
  ofNode(subnets: readonly Prefix[]): AddressBook {
    const wanted = subnets.join();
    if (wanted !== this.#subnets) this.node.setSubnets(subnets);
    this.#subnets = wanted;
    return this.node;
  }

  /** The book of a network with ranges of its own, made when it is its first pod. */
  ofNetwork(network: string, subnets: readonly Prefix[]): AddressBook {
    // The name becomes a file's: config.ts has checked it, and here nothing depends on that.
    if (network.includes("/") || network.startsWith(".")) {
      throw new TwillError("invalid", `"${network}" cannot be the name of a network`);
    }
    const known = this.#networks.get(network);
    if (known !== undefined) {
      known.setSubnets(subnets);
      return known;
    }
    const { book } = this.#open(`${network}${ending}`, subnets);
    this.#networks.set(network, book);
    return book;
  }

  all(): AddressBook[] {
    return [this.node, ...this.#networks.values()];
  }

  /** The book that has this attachment, ready or not. */
  holding(key: AttachmentKey): AddressBook | undefined {
    return this.all().find((book) => book.get(key) !== undefined);
  }

  close(): void {
    for (const book of this.all()) book.close();
  }

  #open(file: string, subnets: readonly Prefix[]): { readonly book: AddressBook; readonly freed: Assignment[] } {
    const { folder, boot, quarantine } = this.#options;
    return AddressBook.open(join(folder, file), {
      subnets,
      boot,
      ...(quarantine === undefined ? {} : { quarantine }),
    });
  }
}

/** Whether another address may be tried after this refusal of one. */
export const isAddressTaken = (error: unknown): boolean =>
  isCode(error, "conflict") || isCode(error, "unavailable") || isCode(error, "invalid");
