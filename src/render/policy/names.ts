import type { Family } from "../../base/address.ts";
import type { Direction } from "../../model/policy.ts";

/** The maps of docs/design/policy.md, by their names in the kernel. */
export const setNames = {
  addresses: { 4: "addresses4", 6: "addresses6" },
  networks: { 4: "networks4", 6: "networks6" },
  selves: { 4: "selves4", 6: "selves6" },
  ports: "ports",
  portRanges: "port_ranges",
  icmp: "icmp",
  decisions: "decisions",
  verdicts: "verdicts",
  actions: "actions",
  epoch: "epoch",
} as const;

/** What `addresses` gives for an address without a row. Class numbers have 31 bits. */
export const unknownClass = 0xffff_ffff;

/**
 * In a row of `addresses`, by direction: the group has rows for whole protocols, wide ranges of ports or ICMP types. Most have none, and need
 * not be asked for them.
 */
export const hints: Readonly<Record<Direction, number>> = { ingress: 1, egress: 2 };

/** Where the other end's class comes from. */
export type PeerKind =
  /** A row of `addresses`. */
  | "endpoint"
  /** A range of `networks`. */
  | "network"
  /** This node, by an address that has no row. */
  | "own_node";

/** Which packets: those that go through the node, and those for the node itself. */
export type Path = "forward" | "input";

/** Where the source is judged, and perhaps the destination; and where the destination alone is. */
export const sentChain = (family: Family, path: Path): string => `${path}${family}_sent`;
export const receivedChain = (family: Family): string => `forward${family}_received`;
export const bothChain = (family: Family): string => `forward${family}_both`;
/** Where all is judged once more, when policy changed meanwhile. */
export const againChain = (family: Family, path: Path): string => `${path}${family}_again`;
/** Judges the end that is an endpoint; returns when it allows. */
export const dispatchChain = (direction: Direction, family: Family, path: Path): string =>
  path === "forward" ? `${direction}${family}` : `${direction}${family}_input`;
export const evaluationChain = (direction: Direction, family: Family, peer: PeerKind): string =>
  `${direction}${family}_${peer}`;
export const familyChain = (family: Family, path: Path): string => `${path}${family}`;
/** These end in a drop. */
export const denyChain = (reason: Direction | "spoofed" | "unknown" | "unreadable" | "cut"): string => `deny_${reason}`;
