import { type Address, type Family, familyOf } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import type { Mac } from "../base/mac.ts";
import { type Prefix, prefixFamily } from "../base/prefix.ts";
import type { AttachmentKey } from "../model/attachment-key.ts";
import { AddressPool, type BlockCounts, nodeMargins } from "./address-pool.ts";
import { Block } from "./block.ts";
import { BookFile, type StoredAttachment } from "./book-file.ts";
import type { Boot } from "./boot.ts";

export interface BookOptions {
  /** The node's subnets: where new addresses come from. They must not overlap. */
  readonly subnets: readonly Prefix[];
  readonly boot: Boot;
  /** How long a released address stays unused, milliseconds; 30 s unless said otherwise. */
  readonly quarantine?: number;
}

export interface AssignRequest {
  /** One address of each. */
  readonly families: readonly Family[];
  /** Instead of the next free address of its family (CNI capability "ips"); several of one family are all given. */
  readonly requested?: readonly Address[];
  readonly mac?: Mac;
}

/** The addresses of one attachment. */
export interface Assignment {
  readonly key: AttachmentKey;
  /** `adding` until it is confirmed: after a crash, nothing is known of what was made for it. */
  readonly state: "adding" | "ready";
  readonly addresses: readonly Address[];
  readonly mac?: Mac;
  /** What `confirm` was given. */
  readonly result?: string;
}

/**
 * Which of the node's addresses belongs to which attachment: adding → ready → released, in quarantine → free.
 *
 * Owned by the agent, the one process that has the file open. Every operation is synchronous, one transaction, and
 * complete on disk before it is in memory; one that throws has changed neither. docs/design/ipam.md.
 */
export class AddressBook {
  readonly #file: BookFile;
  readonly #boot: Boot;
  readonly #quarantine: number;
  readonly #byKey = new Map<string, StoredAttachment>();
  readonly #byAddress = new Map<Address, StoredAttachment>();
  #pool: AddressPool;

  /**
   * Opens the book, made when it is missing. `freed`: whose addresses were taken because the machine was booted since
   * the book was last open, for no container survives that.
   *
   * @throws TwillError `corrupt` (never made anew in silence), `unsupported`, `unavailable` (in use), `io`, `denied`.
   */
  static open(path: string, options: BookOptions): { readonly book: AddressBook; readonly freed: Assignment[] } {
    const quarantine = options.quarantine ?? 30_000;
    const { boot } = options;
    const file = BookFile.open(path, boot);
    try {
      const freed = file.bootId() === boot.id ? [] : file.attachments().map(assignmentOf);
      // The pods ended at the boot at the latest, where the boot clock is 0.
      if (file.bootId() !== boot.id) file.startOver(boot.id, quarantine);
      // A boot clock can go back (a restored checkpoint, a time namespace); the quarantine must not become endless.
      else file.limitQuarantine(boot.now() + quarantine);
      return { book: new AddressBook(file, options.subnets, boot, quarantine), freed };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  private constructor(file: BookFile, subnets: readonly Prefix[], boot: Boot, quarantine: number) {
    this.#file = file;
    this.#boot = boot;
    this.#quarantine = quarantine;
    for (const attachment of file.attachments()) this.#add(attachment);
    this.#pool = this.#loadPool(subnets);
  }

  close(): void {
    this.#file.close();
  }

  /**
   * New addresses come from these from now on. Addresses of other subnets stay with their attachments until released.
   */
  setSubnets(subnets: readonly Prefix[]): void {
    this.#pool = this.#loadPool(subnets);
  }

  /**
   * All addresses asked for, or none. Repeated for an attachment that is still being added, it gives what that has.
   *
   * @throws TwillError `exhausted`; `exists` when the attachment is ready; `conflict` when it is being added with other
   * addresses, or another has a requested address; `unavailable` when that is in quarantine; `invalid` when it is not
   * for pods of this node; `io` when the file cannot be written.
   */
  assign(key: AttachmentKey, request: AssignRequest): Assignment {
    const known = this.#byKey.get(keyText(key));
    if (known !== undefined) return repeated(known, request);
    const addresses = this.#choose(request);
    const { mac } = request;
    const id = this.#file.assign(key, addresses, mac);
    const attachment = { id, key, addresses, ...(mac !== undefined && { mac }) };
    this.#add(attachment);
    for (const address of addresses) this.#pool.take(address);
    return assignmentOf(attachment);
  }

  /** The attachment is made; `result` is whatever CHECK, GC and a restart will want to know of it. @throws TwillError `not-found`. */
  confirm(key: AttachmentKey, result: string): Assignment {
    const known = this.#byKey.get(keyText(key));
    if (known === undefined) {
      throw new TwillError("not-found", "it has no addresses", { operation: "record attachment", object: nameOf(key) });
    }
    this.#file.setResult(known.id, result);
    const attachment = { ...known, result };
    this.#add(attachment);
    return assignmentOf(attachment);
  }

  /** Idempotent. @returns the addresses that it had. */
  release(key: AttachmentKey): readonly Address[] {
    const known = this.#byKey.get(keyText(key));
    return known === undefined ? [] : (this.#release([known])[0]?.addresses ?? []);
  }

  /**
   * Takes back an assignment whose interface never came to be: nobody has used its addresses, so they need no quarantine,
   * and a runtime that tries the same ADD again and again does not exhaust the subnet. Nothing happens to a ready one.
   */
  cancel(key: AttachmentKey): void {
    const known = this.#byKey.get(keyText(key));
    if (known !== undefined && known.result === undefined) this.#release([known], 0);
  }

  /** In one transaction. @returns what was released. */
  releaseWhere(predicate: (assignment: Assignment) => boolean): Assignment[] {
    return this.#release([...this.#byKey.values()].filter((attachment) => predicate(assignmentOf(attachment))));
  }

  /**
   * CNI GC: releases what the network has beyond the valid attachments. The caller counts attachments that are being
   * added at this moment among the valid.
   */
  gc(network: string, valid: readonly AttachmentKey[]): Assignment[] {
    const kept = new Set(valid.map(keyText));
    return this.releaseWhere(({ key }) => key.network === network && !kept.has(keyText(key)));
  }

  get(key: AttachmentKey): Assignment | undefined {
    const known = this.#byKey.get(keyText(key));
    return known && assignmentOf(known);
  }

  ownerOf(address: Address): Assignment | undefined {
    const known = this.#byAddress.get(address);
    return known && assignmentOf(known);
  }

  list(): Assignment[] {
    return [...this.#byKey.values()].map(assignmentOf);
  }

  /** Of each of the node's subnets. */
  counts(): BlockCounts[] {
    return this.#pool.counts(this.#boot.now());
  }

  #choose({ families, requested = [] }: AssignRequest): Address[] {
    const now = this.#boot.now();
    const wanted = [...new Set(requested)];
    for (const address of wanted) {
      const refusal = this.#pool.refusal(address, now, this.#ownerName(address));
      if (refusal !== undefined) throw refusal;
    }
    const rest = families.filter((family) => !wanted.some((address) => familyOf(address) === family));
    return [...wanted, ...[...new Set(rest)].map((family) => this.#pool.next(family, now))];
  }

  #release(attachments: readonly StoredAttachment[], quarantine = this.#quarantine): Assignment[] {
    if (attachments.length === 0) return [];
    const now = this.#boot.now();
    const until = now + quarantine;
    const forgotten = this.#pool.blocks.map((block) => ({ block, addresses: block.forgettable(now) }));
    this.#file.release(
      attachments,
      until,
      forgotten.flatMap(({ addresses }) => addresses),
    );
    for (const { block, addresses } of forgotten) for (const address of addresses) block.forget(address);
    for (const { key, addresses } of attachments) {
      this.#byKey.delete(keyText(key));
      for (const address of addresses) {
        this.#byAddress.delete(address);
        this.#pool.release(address, until);
      }
    }
    return attachments.map(assignmentOf);
  }

  #add(attachment: StoredAttachment): void {
    this.#byKey.set(keyText(attachment.key), attachment);
    for (const address of attachment.addresses) this.#byAddress.set(address, attachment);
  }

  #loadPool(subnets: readonly Prefix[]): AddressPool {
    const now = this.#boot.now();
    const pool = new AddressPool(subnets.map((subnet) => new Block(subnet, nodeMargins[prefixFamily(subnet)])));
    for (const address of this.#byAddress.keys()) pool.take(address);
    const strange: Address[] = [];
    for (const { address, until } of this.#file.released()) {
      if (pool.blockOf(address) === undefined && until <= now) strange.push(address);
      pool.release(address, until);
    }
    if (strange.length > 0) this.#file.release([], 0, strange);
    return pool;
  }

  #ownerName(address: Address): string | undefined {
    const owner = this.#byAddress.get(address);
    return owner && nameOf(owner.key);
  }
}

/** No two keys have the same text: JSON escapes what would run into the next field. */
const keyText = ({ network, containerId, ifname }: AttachmentKey): string =>
  JSON.stringify([network, containerId, ifname]);

const nameOf = ({ network, containerId, ifname }: AttachmentKey): string =>
  `container ${containerId}, interface ${ifname}, network ${network}`;

function assignmentOf({ key, addresses, mac, result }: StoredAttachment): Assignment {
  const state = result === undefined ? "adding" : "ready";
  return { key, state, addresses, ...(mac !== undefined && { mac }), ...(result !== undefined && { result }) };
}

function repeated(known: StoredAttachment, { families, requested = [], mac }: AssignRequest): Assignment {
  const refuse = (code: "exists" | "conflict", message: string): never => {
    const remedy = "delete the attachment (CNI DEL) first";
    throw new TwillError(code, message, { operation: "assign address", object: nameOf(known.key), remedy });
  };
  const has = known.addresses.join(", ");
  if (known.result !== undefined) refuse("exists", `it has its addresses already: ${has}`);
  const same =
    requested.every((address) => known.addresses.includes(address)) &&
    families.every((family) => known.addresses.some((address) => familyOf(address) === family)) &&
    mac === known.mac;
  if (!same) refuse("conflict", `it is being added already, with ${has}${known.mac ? ` and ${known.mac}` : ""}`);
  return assignmentOf(known);
}
