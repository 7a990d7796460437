import type { Clock } from "../base/clock.ts";
import { TwillError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Problem } from "../base/problem.ts";
import { EEXIST, ENODEV } from "../kernel/errno.ts";
import type { Rtnl, RtnlEvent } from "../kernel/rtnl.ts";
import type { Sysctls } from "../kernel/sysctl.ts";
import {
  type DesiredAddress,
  type DesiredChange,
  type DesiredFdbEntry,
  type DesiredNeighbour,
  type DesiredOwn,
  type DesiredPeer,
  type DesiredRoute,
  nothingDesired,
  routeKey,
} from "../objects/desired.ts";
import type { FdbEntry, Neighbour } from "../objects/neighbour.ts";
import { type DeviceAddress, mainTable, type Route, TWILL_ROUTE_PROTOCOL } from "../objects/route.ts";
import { addressKind } from "./address-kind.ts";
import { Contention } from "./contention.ts";
import type { EntryKindName } from "./entry-kind.ts";
import { type AnyEntryTable, EntryTable, type EntryWork } from "./entry-table.ts";
import { EntryWriter, type Refusal } from "./entry-writer.ts";
import { type FdbRemotes, fdbKind } from "./fdb-kind.ts";
import { type ChecksumOffload, LinkTable } from "./link-table.ts";
import { neighbourKind } from "./neighbour-kind.ts";
import { additions, removals } from "./order.ts";
import { Retries } from "./retries.ts";
import { describeForeign, isConflict, isOurs, RouteConflicts } from "./route-conflicts.ts";
import { routeKind } from "./route-kind.ts";
import { SysctlTable } from "./sysctl-table.ts";
import { Writer } from "./writer.ts";

export interface ReconcilerOptions {
  readonly rtnl: Rtnl;
  readonly sysctl: Sysctls;
  /** Absent: checksum offload is left alone. */
  readonly offload?: ChecksumOffload;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ApplyReport {
  /** Changes asked of the kernel in this flush, by operation ("route.add", "link.set", "sysctl", "ethtool"). */
  readonly writes: Readonly<Record<string, number>>;
  /** What does not hold now, after this flush; also what failed in an earlier one and is not due again. */
  readonly problems: readonly Problem[];
  /** Objects that wait for a link or device. Problems only when it takes long. */
  readonly waiting: number;
  /** Milliseconds after which flush should be called again, whether or not an event comes. */
  readonly retryIn?: number;
}

/**
 * Brings the kernel to what is desired and keeps it there. It holds a view of the kernel's actual objects, full after the
 * first flush and kept by the events that the caller feeds in; each flush compares only what either side has changed.
 * Ours, and removed when not desired: routes of our protocol, VXLAN devices with our alias, and what stands on those.
 *
 * The caller feeds all events that there are, then calls flush; a flush in the middle would only answer old news.
 * Synchronous, and to be called in the network namespace of its sysctls.
 */
export class Reconciler {
  readonly #rtnl: Rtnl;
  readonly #log: Log;
  readonly #retries: Retries;
  readonly #contention: Contention;
  readonly #links: LinkTable;
  readonly #sysctls: SysctlTable;
  readonly #address: EntryTable<DesiredAddress, DeviceAddress>;
  readonly #neighbour: EntryTable<DesiredNeighbour, Neighbour>;
  readonly #fdb: EntryTable<DesiredFdbEntry, FdbRemotes, FdbEntry>;
  readonly #route: EntryTable<DesiredRoute, Route>;
  readonly #tables: readonly AnyEntryTable[];
  /** Keys of our routes that somebody else's route may have replaced. */
  readonly #contested = new Set<string>();
  /** What is desired now. Without an own part nothing is done yet. */
  #own: DesiredOwn | undefined;
  readonly #peers = new Map<string, DesiredPeer>();
  #complete = true;
  #synced = false;

  constructor(options: ReconcilerOptions) {
    this.#rtnl = options.rtnl;
    this.#log = options.log;
    this.#retries = new Retries(options.clock);
    this.#contention = new Contention(options.clock, this.#retries);
    this.#address = new EntryTable(addressKind, this.#retries);
    this.#neighbour = new EntryTable(neighbourKind, this.#retries);
    this.#fdb = new EntryTable(fdbKind, this.#retries);
    this.#route = new EntryTable(routeKind, this.#retries);
    this.#tables = [this.#address, this.#neighbour, this.#fdb, this.#route];
    this.#links = new LinkTable({
      rtnl: options.rtnl,
      retries: this.#retries,
      contention: this.#contention,
      offload: options.offload,
      carriesRoutes: (name) => this.#route.needs(name),
      onGone: (index) => {
        for (const table of this.#tables) table.drop(index);
      },
      onStays: (index) => {
        for (const table of this.#tables) table.markDevice(index);
      },
    });
    this.#sysctls = new SysctlTable(options.sysctl, this.#retries, this.#contention);
  }

  /**
   * Nothing is written before the next flush. What stays equal is not looked at again, and a change of some peers costs
   * what these need. The first one brings `own`.
   * `complete: false`: there may be more that is wanted than is known yet (a cached cluster state), so nothing is removed
   * until a complete state comes.
   */
  setDesired({ own, peers }: DesiredChange, { complete = true }: { readonly complete?: boolean } = {}): void {
    // What was spared is looked at again.
    if (complete && !this.#complete) this.resync();
    this.#complete = complete;
    if (own !== undefined) {
      this.#setOwn(own);
      for (const name of this.#peers.keys()) if (!peers.has(name)) this.#setPeer(name, undefined);
    }
    for (const [name, peer] of peers) this.#setPeer(name, peer);
  }

  /** How many parts there are beside the own one. */
  get peers(): number {
    return this.#peers.size;
  }

  /** Takes away everything of ours. Kernel settings stay; who recorded them puts them back. */
  removeAll(): ApplyReport {
    this.setDesired(nothingDesired);
    this.resync();
    return this.flush();
  }

  /** The next flush reads the kernel anew: after lost messages, and now and then, for what the kernel does not announce. */
  resync(): void {
    this.#synced = false;
  }

  onEvent(event: RtnlEvent): void {
    if (!this.#synced) return;
    switch (event.type) {
      case "link":
        if (event.change === "new") this.#links.seen(event.link);
        else this.#links.gone(event.link.index);
        return;
      case "address":
        this.#onAddress(event.address.device);
        if (event.change === "delete") {
          this.#links.suspect(event.address.device);
          // disable_ipv6 is not announced, but takes the addresses away.
          this.#onSetting(event.address.device);
        }
        this.#onEntry(this.#address, event.change, event.address);
        return;
      case "neighbour":
        this.#onEntry(this.#neighbour, event.change, event.neighbour);
        return;
      case "fdb":
        this.#onEntry(this.#fdb, event.change, event.entry);
        return;
      case "route":
        this.#onRoute(event.change, event.route);
        return;
      case "setting":
        this.#onSetting(event.device);
        return;
      case "rule":
        return;
      case "overrun":
        this.#log.info("the kernel's notifications overran; reading everything again");
        this.resync();
    }
  }

  /**
   * Makes the kernel as desired, as far as it can be now. A second flush without events in between writes nothing.
   * @throws TwillError when the kernel cannot be read; the next flush starts with a full read.
   */
  flush(): ApplyReport {
    const writer = new Writer(this.#rtnl, this.#log);
    if (this.#own !== undefined) {
      try {
        this.#flush(writer);
      } catch (error) {
        this.#synced = false;
        throw error;
      }
    }
    const retryIn = this.#marked() ? 0 : this.#retries.nextIn;
    return {
      writes: writer.writes,
      problems: this.#retries.problems(),
      waiting: this.#retries.waiting,
      ...(retryIn === undefined ? {} : { retryIn }),
    };
  }

  #setOwn(own: DesiredOwn): void {
    this.#links.setDesired(own.links);
    this.#sysctls.setDesired(own);
    this.#setEntries(this.#address, "", this.#own?.addresses, own.addresses);
    this.#own = own;
  }

  #setPeer(name: string, peer: DesiredPeer | undefined): void {
    const before = this.#peers.get(name);
    this.#setEntries(this.#neighbour, name, before?.neighbours, peer?.neighbours);
    this.#setEntries(this.#fdb, name, before?.fdb, peer?.fdb);
    this.#setEntries(this.#route, name, before?.routes, peer?.routes);
    if (peer === undefined) this.#peers.delete(name);
    else this.#peers.set(name, peer);
  }

  #setEntries<D>(table: EntryWisher<D>, part: string, before: readonly D[] = [], after: readonly D[] = []): void {
    for (const key of table.setDesired(part, before, after)) this.#contention.forget(table.kind.name, key);
  }

  #flush(writer: Writer): void {
    if (!this.#synced) this.#readAll();
    this.#markDue();
    this.#sysctls.reconcile("global", writer);
    this.#links.reconcile(writer);
    this.#readSuspects();
    for (const name of this.#links.takeMade()) this.#sysctls.markDevice(name);
    this.#sysctls.reconcile("tunnels", writer);
    const retaken = this.#readContested();

    const strays = this.#links.strays();
    const work: Record<EntryKindName, EntryWork> = {
      address: this.#address.take(this.#links.state, strays),
      neighbour: this.#neighbour.take(this.#links.state, strays),
      fdb: this.#fdb.take(this.#links.state, strays),
      route: this.#route.take(this.#links.state, strays),
    };
    const entries = new EntryWriter(writer, this.#retries, this.#contention);
    const conflicts = new RouteConflicts(this.#rtnl);
    for (const { kind, when } of additions) {
      for (const refusal of entries.write(kind, work[kind][when])) {
        if (isConflict(refusal)) this.#onConflict(refusal, conflicts, retaken, entries);
        else entries.fail(refusal);
      }
    }
    if (!this.#complete) {
      this.#links.spareStrays();
      return;
    }
    for (const kind of removals) {
      for (const refusal of entries.write(kind, work[kind].stray)) entries.fail(refusal);
    }
    this.#links.removeStrays(writer);
  }

  /**
   * Another route is in the way: at the same place (EEXIST), or one that leads IPv6 elsewhere on the search for the gateway
   * (EINVAL). Ours was only unknown to us. One on our tunnel, or put over ours, goes; any other stays and is named.
   */
  #onConflict(refusal: Refusal, conflicts: RouteConflicts, retaken: ReadonlySet<string>, entries: EntryWriter): void {
    const { write, error } = refusal;
    const { key, device } = write;
    const blocker = conflicts.at(key);
    if (blocker !== undefined && isOurs(blocker)) {
      this.#seenRoute(blocker);
      return;
    }
    const index = this.#links.state(device).index;
    if (index === undefined || (blocker === undefined && error.errno === EEXIST)) {
      entries.fail(refusal);
      return;
    }
    const over = blocker?.device;
    if (blocker === undefined || retaken.has(key) || (over !== undefined && this.#links.isManaged(over))) {
      const overwrite = this.#route.overwrite(key, index, blocker);
      const refusals = overwrite === undefined ? [] : entries.write("route", [overwrite]);
      for (const again of refusals) entries.fail(again);
      return;
    }
    const other = describeForeign(blocker, over === undefined ? undefined : this.#links.nameOf(over));
    entries.report("route", write, {
      reason: `a route of somebody else is in its place: ${other}`,
      remedy: `if nothing needs it, delete it: ip route delete ${other}`,
    });
  }

  #readAll(): void {
    for (const table of this.#tables) table.dropAll();
    this.#contested.clear();
    this.#links.load(this.#rtnl.links());
    for (const route of this.#rtnl.routes({ protocol: TWILL_ROUTE_PROTOCOL, table: mainTable })) this.#seenRoute(route);
    this.#synced = true;
    for (const table of this.#tables) table.markAll();
    this.#sysctls.markAll();
    this.#contention.prune();
  }

  #readSuspects(): void {
    for (const index of this.#links.takeSuspects()) {
      try {
        this.#readDevice(index);
      } catch (error) {
        if (!(error instanceof TwillError) || error.errno !== ENODEV) throw error;
        // It went away between its last notification and now.
        this.#links.gone(index);
      }
    }
  }

  #readDevice(index: number): void {
    const name = this.#links.nameOf(index) ?? "";
    for (const table of this.#tables) table.drop(index);
    const own = { protocol: TWILL_ROUTE_PROTOCOL, table: mainTable, device: index };
    for (const route of this.#rtnl.routes(own)) this.#seenRoute(route);
    if (!this.#links.isManaged(index)) return;
    for (const address of this.#rtnl.addresses({ device: index })) this.#address.seen(address, name);
    for (const neighbour of this.#rtnl.neighbours({ device: index })) this.#neighbour.seen(neighbour, name);
    for (const entry of this.#rtnl.fdb({ device: index })) this.#fdb.seen(entry, name);
  }

  /** Which of our routes were replaced by hand, and not merely joined by another of the same destination. */
  #readContested(): ReadonlySet<string> {
    const lost = new Set<string>();
    if (this.#contested.size === 0) return lost;
    const present = new Set(
      this.#rtnl.routes({ protocol: TWILL_ROUTE_PROTOCOL, table: mainTable }).map((route) => routeKey(route)),
    );
    for (const key of this.#contested) {
      if (present.has(key)) continue;
      const held = this.#route.held(key);
      if (held !== undefined) this.#route.gone(held, "");
      lost.add(key);
    }
    this.#contested.clear();
    return lost;
  }

  #markDue(): void {
    for (const { kind, key } of this.#retries.due()) {
      if (kind === "link") this.#links.mark(key);
      else if (kind === "sysctl") this.#sysctls.mark(key);
      else this.#tables.find((table) => table.kind.name === kind)?.mark(key);
    }
  }

  #marked(): boolean {
    return this.#tables.some((table) => table.marked > 0) || this.#links.marked > 0 || this.#sysctls.marked > 0;
  }

  #onSetting(device: number | undefined): void {
    const name = device === undefined ? undefined : this.#links.nameOf(device);
    if (device === undefined || name !== undefined) this.#sysctls.markDevice(name);
  }

  #onAddress(device: number): void {
    const name = this.#links.nameOf(device);
    if (name !== undefined) this.#retries.hasten(name);
  }

  #onEntry<S extends { readonly device: number }>(table: EntryObserver<S>, change: "new" | "delete", entry: S): void {
    if (!this.#links.isManaged(entry.device)) return;
    const name = this.#links.nameOf(entry.device) ?? "";
    if (change === "new") table.seen(entry, name);
    else table.gone(entry, name);
  }

  #onRoute(change: "new" | "delete", route: Route): void {
    if (isOurs(route)) {
      if (change === "new") this.#seenRoute(route);
      else this.#route.gone(route, "");
      return;
    }
    if (route.table !== mainTable) return;
    const key = routeKey(route);
    if (this.#route.desires(key)) {
      if (change === "new" && this.#route.held(key) !== undefined) this.#contested.add(key);
      else this.#retries.hastenKey("route", key);
    }
    // The link's own network is back: gateways on it resolve again.
    if (change === "new" && route.device !== undefined) this.#onAddress(route.device);
  }

  #seenRoute(route: Route): void {
    this.#route.seen(route, "");
  }
}

interface EntryObserver<S> {
  seen(entry: S, deviceName: string): void;
  gone(entry: S, deviceName: string): void;
}

interface EntryWisher<D> {
  readonly kind: { readonly name: EntryKindName };
  setDesired(part: string, before: readonly D[], after: readonly D[]): readonly string[];
}
