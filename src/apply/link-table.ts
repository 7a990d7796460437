import type { TwillError } from "../base/errors.ts";
import { EEXIST, ENODEV } from "../kernel/errno.ts";
import type { Rtnl } from "../kernel/rtnl.ts";
import type { DesiredLink } from "../objects/desired.ts";
import type { Link } from "../objects/link.ts";
import type { Contention } from "./contention.ts";
import type { DeviceState } from "./entry-table.ts";
import type { Retries } from "./retries.ts";
import { isOurTunnel, sameDesiredLink, tunnelChanges, tunnelDifference, tunnelSpec } from "./tunnel-link.ts";
import type { Writer } from "./writer.ts";

/** Checksum offload of a device (src/kernel/ethtool.ts). rtnetlink has no attribute for it. */
export interface ChecksumOffload {
  read(device: string): boolean;
  write(device: string, on: boolean): void;
}

export interface LinkTableOptions {
  readonly rtnl: Rtnl;
  readonly retries: Retries;
  readonly contention: Contention;
  readonly offload: ChecksumOffload | undefined;
  /** Whether desired routes lead over the device of that name. */
  readonly carriesRoutes: (name: string) => boolean;
  /** The device is gone, or is another one now: nothing that stood on it stands. */
  readonly onGone: (index: number) => void;
  /** The device was to be deleted with all that is on it, and is still there. */
  readonly onStays: (index: number) => void;
}

/** All links of the namespace, and among them our tunnels, made, adopted, healed and removed. */
export class LinkTable {
  readonly #rtnl: Rtnl;
  readonly #retries: Retries;
  readonly #contention: Contention;
  readonly #offload: ChecksumOffload | undefined;
  readonly #carriesRoutes: (name: string) => boolean;
  readonly #onGone: (index: number) => void;
  readonly #onStays: (index: number) => void;
  readonly #byIndex = new Map<number, Link>();
  readonly #byName = new Map<string, number>();
  readonly #marked = new Set<string>();
  /** Devices on which the kernel may have removed entries without a word; to be read again. */
  readonly #suspects = new Set<number>();
  /** Devices whose own settings are fresh. */
  readonly #made = new Set<string>();
  #desired: ReadonlyMap<string, DesiredLink> = new Map();

  constructor(options: LinkTableOptions) {
    this.#rtnl = options.rtnl;
    this.#retries = options.retries;
    this.#contention = options.contention;
    this.#offload = options.offload;
    this.#carriesRoutes = options.carriesRoutes;
    this.#onGone = options.onGone;
    this.#onStays = options.onStays;
  }

  get marked(): number {
    return this.#marked.size + this.#suspects.size;
  }

  nameOf = (index: number): string | undefined => this.#byIndex.get(index)?.name;

  isManaged(index: number): boolean {
    const link = this.#byIndex.get(index);
    return link !== undefined && isOurTunnel(link);
  }

  setDesired(links: readonly DesiredLink[]): void {
    const before = this.#desired;
    this.#desired = new Map(links.map((link) => [link.name, link]));
    for (const [name, desired] of this.#desired) {
      const old = before.get(name);
      if (old !== undefined && sameDesiredLink(old, desired)) continue;
      this.#retries.clear("link", name);
      this.#contention.forget("link", name);
      this.#marked.add(name);
    }
    for (const name of before.keys()) {
      if (this.#desired.has(name)) continue;
      this.#retries.clear("link", name);
      this.#marked.add(name);
    }
  }

  mark(name: string): void {
    this.#marked.add(name);
  }

  /** Forgets everything and takes the links as read. Marks all that we may have to do with. */
  load(links: readonly Link[]): void {
    this.#byIndex.clear();
    this.#byName.clear();
    this.#suspects.clear();
    for (const link of links) this.#store(link);
    for (const name of this.#desired.keys()) this.#marked.add(name);
    for (const link of links) {
      if (!isOurTunnel(link)) continue;
      this.#marked.add(link.name);
      this.#suspects.add(link.index);
    }
  }

  seen(link: Link): void {
    const before = this.#byIndex.get(link.index);
    this.#store(link);
    // A change of features (ethtool) is announced as a link that looks the same.
    if (isOurTunnel(link)) this.#marked.add(link.name);
    if (before !== undefined && isSame(before, link)) return;
    this.#retries.hasten(link.name);
    this.#markAround(link.name);
    if (before !== undefined && before.name !== link.name) {
      this.#markAround(before.name);
      this.#onGone(link.index);
    }
    // Going down, the kernel flushes IPv4 routes and IPv6 addresses of the device, the former without a message; a new
    // Ethernet address flushes its neighbours. Whether it is up again by now does not matter.
    if (isOurTunnel(link) || this.#carriesRoutes(link.name)) this.#suspects.add(link.index);
  }

  gone(index: number): void {
    const link = this.#byIndex.get(index);
    if (link === undefined) return;
    this.#forget(link);
    this.#markAround(link.name);
  }

  /** The kernel may have flushed routes together with an address (fib_sync_down_addr, fib_disable_ip), without a message. */
  suspect(index: number): void {
    const link = this.#byIndex.get(index);
    if (link !== undefined && (isOurTunnel(link) || this.#carriesRoutes(link.name))) this.#suspects.add(index);
  }

  takeSuspects(): readonly number[] {
    const suspects = [...this.#suspects].filter((index) => this.#byIndex.has(index));
    this.#suspects.clear();
    return suspects;
  }

  /** Names of devices made since the last call: their per-device sysctls are the kernel's defaults. */
  takeMade(): readonly string[] {
    const made = [...this.#made];
    this.#made.clear();
    return made;
  }

  /** Where entries for the device of that name can be written. */
  state = (name: string): DeviceState => {
    const index = this.#byName.get(name);
    const link = index === undefined ? undefined : this.#byIndex.get(index);
    if (link === undefined) return { missing: `there is no device ${name}` };
    if (this.#desired.has(name) && !isOurTunnel(link)) return { missing: `${name} is a device of somebody else` };
    return link.up ? { index: link.index } : { missing: `${name} is down` };
  };

  /** Makes, adopts and heals the marked links. */
  reconcile(writer: Writer): void {
    for (const name of this.#marked) {
      const desired = this.#desired.get(name);
      if (desired === undefined) continue;
      this.#marked.delete(name);
      if (!this.#retries.holds("link", name)) this.#ensure(desired, writer);
    }
  }

  /** Marked tunnels of ours that nobody desires. */
  strays(): ReadonlySet<number> {
    const strays = new Set<number>();
    for (const name of this.#marked) {
      const index = this.#byName.get(name);
      const link = index === undefined ? undefined : this.#byIndex.get(index);
      if (link !== undefined && isOurTunnel(link) && !this.#desired.has(name)) strays.add(link.index);
    }
    return strays;
  }

  removeStrays(writer: Writer): void {
    for (const index of this.strays()) if (!this.#remove(index, writer)) this.#onStays(index);
    this.#marked.clear();
  }

  /** Leaves them until the next full read. */
  spareStrays(): void {
    this.#marked.clear();
  }

  #ensure(desired: DesiredLink, writer: Writer): void {
    const { name } = desired;
    const underlay = this.#byName.get(desired.kind.underlay);
    if (underlay === undefined) {
      const reason = `there is no underlay device ${desired.kind.underlay}`;
      this.#fail(name, reason, "bring the device back, or start the agent with another interface", true);
      return;
    }
    let link = this.#named(name);
    // Before a device is made, taken for a foreign one or made anew, the kernel is asked: a notification may be older than
    // what we did since, and a new alias of a device that is down is not announced at all (netdev_state_change).
    if (link === undefined || !isOurTunnel(link) || tunnelDifference(desired, underlay, link) !== undefined) {
      link = this.#read(name);
    }
    const difference = link === undefined ? undefined : tunnelDifference(desired, underlay, link);
    if (link !== undefined && difference !== undefined) {
      if (!isOurTunnel(link)) {
        const reason = `a device of that name is there already and was not made by Twill: ${difference}`;
        this.#fail(name, reason, `delete it if nothing uses it: ip link delete ${name}`);
        return;
      }
      if (!this.#remove(link.index, writer)) return;
    }
    const present = this.#named(name) ?? this.#create(desired, underlay, writer);
    if (present !== undefined) this.#heal(desired, present, writer);
  }

  #create(desired: DesiredLink, underlay: number, writer: Writer): Link | undefined {
    if (!this.#contention.mayWrite(about(desired.name))) return undefined;
    const operation = { op: "link.add", spec: tunnelSpec(desired, underlay) } as const;
    let error = writer.one(operation);
    if (error?.errno === EEXIST) {
      // The kernel refuses a second VXLAN device of one VNI, port and address family, whatever its name.
      const rival = this.#rival(desired);
      if (rival !== undefined && isOurTunnel(rival) && !this.#desired.has(rival.name)) {
        if (this.#remove(rival.index, writer)) error = writer.one(operation);
      } else if (rival !== undefined) {
        const reason = `the device ${rival.name} uses VNI ${desired.kind.vni} on port ${desired.kind.port} already`;
        this.#fail(desired.name, reason, `delete ${rival.name}, or choose another Backend.VNI or Backend.Port`);
        return undefined;
      }
    }
    if (error !== undefined) {
      this.#refused(desired.name, error);
      return undefined;
    }
    this.#made.add(desired.name);
    return this.#read(desired.name) ?? this.#vanished(desired.name);
  }

  #heal(desired: DesiredLink, link: Link, writer: Writer): void {
    const changes = tunnelChanges(desired, link);
    if (changes.length > 0 && !this.#contention.mayWrite(about(desired.name))) return;
    const errors = writer.apply(changes.map((change) => ({ op: "link.set", index: link.index, change })));
    const now = changes.length === 0 ? link : (this.#read(desired.name) ?? this.#vanished(desired.name));
    if (now === undefined) return;
    if (link.alias !== now.alias) this.#made.add(desired.name);
    const error = errors.find((result) => result !== undefined);
    if (error !== undefined) {
      this.#refused(desired.name, error);
      return;
    }
    if (!this.#setOffload(desired, writer)) return;
    this.#retries.clear("link", desired.name);
  }

  #setOffload(desired: DesiredLink, writer: Writer): boolean {
    try {
      const offload = this.#offload;
      if (offload === undefined || offload.read(desired.name) === desired.txChecksumOffload) return true;
      writer.count("ethtool");
      offload.write(desired.name, desired.txChecksumOffload);
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#fail(desired.name, `checksum offload: ${reason}`, "look at it with: ethtool -k");
      return false;
    }
  }

  #remove(index: number, writer: Writer): boolean {
    const link = this.#byIndex.get(index);
    const error = writer.one({ op: "link.delete", index });
    if (error !== undefined && error.errno !== ENODEV) {
      this.#refused(link?.name ?? String(index), error);
      return false;
    }
    if (link !== undefined) {
      this.#retries.clear("link", link.name);
      this.#forget(link);
    }
    return true;
  }

  #rival({ name, kind }: DesiredLink): Link | undefined {
    const six = kind.local.includes(":");
    return [...this.#byIndex.values()].find(
      (link) =>
        link.name !== name &&
        link.kind.type === "vxlan" &&
        link.kind.vni === kind.vni &&
        link.kind.port === kind.port &&
        (link.kind.local ?? "").includes(":") === six,
    );
  }

  /** The link as the kernel has it now, so that the notifications of what we wrote change nothing. */
  #read(name: string): Link | undefined {
    const link = this.#rtnl.link(name);
    const believed = this.#named(name);
    if (believed !== undefined && believed.index !== link?.index) this.#forget(believed);
    if (link === undefined) return undefined;
    this.seen(link);
    this.#marked.delete(name);
    return link;
  }

  #named(name: string): Link | undefined {
    const index = this.#byName.get(name);
    return index === undefined ? undefined : this.#byIndex.get(index);
  }

  #store(link: Link): void {
    const before = this.#byIndex.get(link.index);
    if (before !== undefined && this.#byName.get(before.name) === link.index) this.#byName.delete(before.name);
    this.#byIndex.set(link.index, link);
    this.#byName.set(link.name, link.index);
  }

  #forget(link: Link): void {
    this.#byIndex.delete(link.index);
    if (this.#byName.get(link.name) === link.index) this.#byName.delete(link.name);
    this.#suspects.delete(link.index);
    this.#onGone(link.index);
  }

  /** The link itself, and the tunnels that stand on it. */
  #markAround(name: string): void {
    this.#marked.add(name);
    for (const desired of this.#desired.values()) {
      if (desired.kind.underlay !== name) continue;
      this.#marked.add(desired.name);
      this.#retries.hasten(desired.name);
    }
  }

  #vanished(name: string): undefined {
    this.#fail(name, "it vanished as soon as it was made", "look who deletes it: ip monitor link");
  }

  #refused(name: string, error: TwillError): void {
    this.#fail(name, error.message, error.remedy ?? "the agent tries again; look at the kernel's log: dmesg");
  }

  #fail(name: string, reason: string, remedy: string, waiting = false): void {
    this.#retries.record({ ...about(name), reason, remedy, waiting });
  }
}

const about = (name: string) => ({ kind: "link", key: name, device: name, object: `device ${name}` });

/** Whether anything that we look at is unchanged; counters are not. */
const isSame = (a: Link, b: Link): boolean =>
  a.name === b.name &&
  a.alias === b.alias &&
  a.mac === b.mac &&
  a.mtu === b.mtu &&
  a.up === b.up &&
  a.carrier === b.carrier &&
  JSON.stringify(a.kind) === JSON.stringify(b.kind);
