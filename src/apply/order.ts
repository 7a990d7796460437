import type { EntryKindName } from "./entry-kind.ts";

/**
 * The order of all changes, in one place. Additions follow dependencies, so that a packet finds no half-built way:
 *
 *   global sysctls → links → sysctls of links → addresses → neighbours → forwarding entries → routes
 *
 * and removals reverse it: routes → forwarding entries → neighbours → addresses → links. Everything is added and changed
 * before anything is removed: a route that moves to another device is replaced in one message, and only then does what
 * it stood on before go away.
 *
 * One exception inside: a neighbour that changes its Ethernet address is changed after the forwarding entry of the new
 * address is there, for its route is in use already.
 */
export const additions: readonly { readonly kind: EntryKindName; readonly when: "missing" | "changed" }[] = [
  { kind: "address", when: "missing" },
  { kind: "address", when: "changed" },
  { kind: "neighbour", when: "missing" },
  { kind: "fdb", when: "missing" },
  { kind: "fdb", when: "changed" },
  { kind: "neighbour", when: "changed" },
  { kind: "route", when: "missing" },
  { kind: "route", when: "changed" },
];

export const removals: readonly EntryKindName[] = ["route", "fdb", "neighbour", "address"];
