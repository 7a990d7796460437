import { isMulticast } from "../base/mac.ts";
import type { Link } from "../objects/link.ts";
import type { FdbEntry, Neighbour } from "../objects/neighbour.ts";
import { EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, errnoError } from "./errno.ts";
import type { RtnlEvent } from "./rtnl.ts";

/** Neighbours and forwarding entries of the fake, refusing what the kernel refuses. */
export class FakeForwarding {
  neighbours: Neighbour[] = [];
  entries: FdbEntry[] = [];
  readonly #link: (index: number) => Link | undefined;
  readonly #emit: (event: RtnlEvent) => void;

  constructor(link: (index: number) => Link | undefined, emit: (event: RtnlEvent) => void) {
    this.#link = link;
    this.#emit = emit;
  }

  addNeighbour(neighbour: Neighbour, replace: boolean): void {
    if (this.#link(neighbour.device) === undefined) throw errnoError(ENODEV);
    const existing = this.neighbours.find((other) => sameNeighbour(other, neighbour));
    // Proxy entries know no NLM_F_EXCL (neigh_add).
    if (existing !== undefined && !replace && neighbour.proxy !== true) throw errnoError(EEXIST);
    if (neighbour.proxy !== true && neighbour.state === "permanent" && neighbour.mac === undefined) {
      throw errnoError(EINVAL, { detail: "No link layer address given" });
    }
    this.neighbours = this.neighbours.filter((other) => other !== existing);
    this.neighbours.push(neighbour);
    this.#emit({ type: "neighbour", change: "new", neighbour });
  }

  deleteNeighbour(neighbour: Neighbour): void {
    if (this.#link(neighbour.device) === undefined) throw errnoError(ENODEV);
    const existing = this.neighbours.find((other) => sameNeighbour(other, neighbour));
    if (existing === undefined) throw errnoError(ENOENT);
    this.#dropNeighbours((other) => other === existing);
  }

  addEntry(entry: FdbEntry, mode: "add" | "replace" | "append"): void {
    const link = this.#link(entry.device);
    if (link === undefined) throw errnoError(ENODEV);
    if (!entry.self && link.master === undefined) throw errnoError(EOPNOTSUPP);
    const others = this.entries.filter((other) => sameEntry(other, entry));
    if (others.length > 0 && mode === "add") throw errnoError(EEXIST);
    const flood = isMulticast(entry.mac) || entry.mac === "00:00:00:00:00:00";
    // Only flood entries have several remotes; for others the kernel says yes and does nothing.
    if (mode === "append" && others.length > 0 && !flood) return;
    if (mode === "append" && others.some((other) => other.remote === entry.remote)) return;
    if (mode === "replace") this.entries = this.entries.filter((other) => !sameEntry(other, entry));
    const kept = entry.self || link.master === undefined ? entry : { ...entry, master: link.master };
    this.entries.push(kept);
    this.#emit({ type: "fdb", change: "new", entry: kept });
  }

  deleteEntry(entry: FdbEntry): void {
    if (this.#link(entry.device) === undefined) throw errnoError(ENODEV);
    const same = this.entries.filter((other) => sameEntry(other, entry));
    if (same.length === 0) throw errnoError(ENOENT);
    // An unknown remote of a known entry: the kernel says yes and does nothing.
    this.#dropEntries((other) => same.includes(other) && (entry.remote ?? other.remote) === other.remote);
  }

  /** neigh_ifdown: permanent neighbours go too. Permanent forwarding entries of a VXLAN device stay (vxlan_stop). */
  linkDown(index: number): void {
    this.#dropNeighbours((neighbour) => neighbour.device === index);
    this.#dropEntries((entry) => entry.device === index && entry.state !== "permanent");
  }

  linkGone(index: number): void {
    this.#dropNeighbours((neighbour) => neighbour.device === index);
    this.#dropEntries((entry) => entry.device === index);
  }

  #dropNeighbours(condition: (neighbour: Neighbour) => boolean): void {
    const gone = this.neighbours.filter(condition);
    this.neighbours = this.neighbours.filter((neighbour) => !gone.includes(neighbour));
    for (const neighbour of gone) this.#emit({ type: "neighbour", change: "delete", neighbour });
  }

  #dropEntries(condition: (entry: FdbEntry) => boolean): void {
    const gone = this.entries.filter(condition);
    this.entries = this.entries.filter((entry) => !gone.includes(entry));
    for (const entry of gone) this.#emit({ type: "fdb", change: "delete", entry });
  }
}

const sameNeighbour = (a: Neighbour, b: Neighbour): boolean =>
  a.device === b.device && a.address === b.address && (a.proxy === true) === (b.proxy === true);

const sameEntry = (a: FdbEntry, b: FdbEntry): boolean => a.device === b.device && a.mac === b.mac && a.self === b.self;
