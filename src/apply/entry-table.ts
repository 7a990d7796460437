import type { RtnlOperation } from "../kernel/rtnl.ts";
import { DesiredParts } from "./desired-parts.ts";
import type { EntryKind, EntryKindName } from "./entry-kind.ts";
import type { Retries } from "./retries.ts";

/** A device that entries stand on: its index, or why nothing can be written on it now. */
export type DeviceState = { readonly index: number } | { readonly index?: undefined; readonly missing: string };

/** A change of one entry, and what to do with the table once the kernel has taken it. */
export interface EntryWrite {
  readonly key: string;
  readonly device: string;
  readonly object: string;
  readonly operations: readonly RtnlOperation[];
  commit(): void;
}

/** What must be done with the entries of one kind, by the step of order.ts that does it. */
export interface EntryWork {
  readonly missing: readonly EntryWrite[];
  readonly changed: readonly EntryWrite[];
  readonly stray: readonly EntryWrite[];
}

/** What can be done with a table whatever its kind. */
export interface AnyEntryTable {
  readonly kind: { readonly name: EntryKindName };
  readonly marked: number;
  mark(key: string): void;
  markAll(): void;
  markDevice(device: number): void;
  drop(device: number): void;
  dropAll(): void;
}

/**
 * Entries of one kind, desired and held, and which keys may differ. Everything that changes either side marks the key;
 * `take` looks at marked keys only, so that its cost follows the change and not the cluster.
 */
export class EntryTable<
  D extends { readonly device: string },
  A extends { readonly device?: number },
  S extends { readonly device?: number } = A,
> {
  readonly kind: EntryKind<D, A, S>;
  readonly #retries: Retries;
  readonly #desired: DesiredParts<D>;
  /** How many desired entries stand on a device, by its name. */
  readonly #devices = new Map<string, number>();
  readonly #held = new Map<string, A>();
  readonly #marked = new Set<string>();

  constructor(kind: EntryKind<D, A, S>, retries: Retries) {
    this.kind = kind;
    this.#retries = retries;
    this.#desired = new DesiredParts(kind.desiredKey);
  }

  desires(key: string): boolean {
    return this.#desired.has(key);
  }

  /** Whether any desired entry stands on the device of that name. */
  needs(device: string): boolean {
    return this.#devices.has(device);
  }

  get marked(): number {
    return this.#marked.size;
  }

  held(key: string): A | undefined {
    return this.#held.get(key);
  }

  /** Makes `after` all the entries of a part, which were `before`. @returns the keys that are desired otherwise now. */
  setDesired(part: string, before: readonly D[], after: readonly D[]): readonly string[] {
    const changed: string[] = [];
    for (const [key, old] of this.#desired.replace(part, before, after)) {
      const desired = this.#desired.get(key);
      if (old === desired) continue;
      this.#count(old, -1);
      this.#count(desired, 1);
      if (old !== undefined && desired !== undefined && this.kind.sameDesired(old, desired)) continue;
      this.#retries.clear(this.kind.name, key);
      this.#marked.add(key);
      changed.push(key);
    }
    return changed;
  }

  mark(key: string): void {
    this.#marked.add(key);
  }

  markAll(): void {
    for (const key of this.#desired.keys()) this.#marked.add(key);
    for (const key of this.#held.keys()) this.#marked.add(key);
  }

  markDevice(device: number): void {
    for (const [key, held] of this.#held) if (held.device === device) this.#marked.add(key);
  }

  /** The kernel reports the entry. `deviceName`: of the device that it is on. */
  seen(entry: S, deviceName: string): void {
    const key = this.kind.keyOf(entry, deviceName);
    if (key === undefined) return;
    const merged = this.kind.merge(this.#held.get(key), entry);
    // What the kernel keeps for itself would only fill the table; nobody desires it and we may not remove it.
    if (!this.#desired.has(key) && !this.kind.removable(merged)) return;
    this.#held.set(key, merged);
    this.#marked.add(key);
  }

  gone(entry: S, deviceName: string): void {
    const key = this.kind.keyOf(entry, deviceName);
    const held = key === undefined ? undefined : this.#held.get(key);
    if (key === undefined || held === undefined) return;
    this.#keep(key, this.kind.without(held, entry));
    this.#marked.add(key);
  }

  /** Everything on the device is gone, as when the device is. */
  drop(device: number): void {
    for (const [key, held] of this.#held) if (held.device === device) this.#dropKey(key);
  }

  dropAll(): void {
    for (const key of this.#held.keys()) this.#dropKey(key);
  }

  /** What to write for the marked keys. `skip`: devices that are about to be deleted, with all that is on them. */
  take(deviceState: (name: string) => DeviceState, skip: ReadonlySet<number>): EntryWork {
    const missing: EntryWrite[] = [];
    const changed: EntryWrite[] = [];
    const stray: EntryWrite[] = [];
    for (const key of this.#marked) {
      const desired = this.#desired.get(key);
      const held = this.#held.get(key);
      if (desired === undefined) {
        if (held === undefined) this.#retries.clear(this.kind.name, key);
        else if (this.kind.removable(held) && !skip.has(held.device ?? 0) && !this.#resting(key)) {
          stray.push(this.#removal(key, held));
        }
        continue;
      }
      const state = deviceState(desired.device);
      if (state.index === undefined) this.#wait(key, desired, state.missing);
      else if (held !== undefined && held.device === state.index && this.kind.equal(desired, held)) {
        this.#retries.clear(this.kind.name, key);
      } else if (this.#resting(key)) continue;
      else if (held === undefined) {
        missing.push(this.#addition(key, desired, state.index, [this.kind.add(desired, state.index)]));
      } else changed.push(this.#addition(key, desired, state.index, this.kind.change(desired, state.index, held)));
    }
    this.#marked.clear();
    return { missing, changed, stray };
  }

  /** Puts the desired entry in the place of what stands there and is not ours. */
  overwrite(key: string, device: number, other: A | undefined): EntryWrite | undefined {
    const desired = this.#desired.get(key);
    return desired && this.#addition(key, desired, device, this.kind.change(desired, device, other));
  }

  #count(entry: D | undefined, change: 1 | -1): void {
    if (entry === undefined) return;
    const count = (this.#devices.get(entry.device) ?? 0) + change;
    if (count === 0) this.#devices.delete(entry.device);
    else this.#devices.set(entry.device, count);
  }

  #dropKey(key: string): void {
    this.#held.delete(key);
    if (this.#desired.has(key)) this.#marked.add(key);
    else this.#retries.clear(this.kind.name, key);
  }

  #resting(key: string): boolean {
    return this.#retries.holds(this.kind.name, key);
  }

  #keep(key: string, held: A | undefined): void {
    if (held === undefined) this.#held.delete(key);
    else this.#held.set(key, held);
  }

  #addition(key: string, desired: D, device: number, operations: readonly RtnlOperation[]): EntryWrite {
    return {
      key,
      device: desired.device,
      object: this.kind.describe(key, desired),
      operations,
      commit: () => this.#keep(key, this.kind.written(desired, device)),
    };
  }

  #removal(key: string, held: A): EntryWrite {
    return {
      key,
      device: "",
      object: this.kind.describe(key, undefined),
      operations: this.kind.remove(held),
      commit: () => this.#keep(key, undefined),
    };
  }

  #wait(key: string, desired: D, missing: string): void {
    this.#retries.record({
      kind: this.kind.name,
      key,
      device: desired.device,
      object: this.kind.describe(key, desired),
      reason: missing,
      remedy: `look at the device: ip -d link show ${desired.device}`,
      waiting: true,
    });
  }
}
