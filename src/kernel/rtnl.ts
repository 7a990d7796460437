import type { Address, Family } from "../base/address.ts";
import type { TwillError } from "../base/errors.ts";
import type { Mac } from "../base/mac.ts";
import type { Link, LinkSpec } from "../objects/link.ts";
import type { FdbEntry, Neighbour } from "../objects/neighbour.ts";
import type { DeviceAddress, Route, Rule } from "../objects/route.ts";

/**
 * rtnetlink of one network namespace (that of the moment the socket was opened). Synchronous: the kernel answers
 * before send returns. Implemented by the kernel's socket and by a fake that refuses what the kernel refuses.
 */
export interface Rtnl {
  /** All in one send where they fit; one result per operation, in order. A failure does not stop the ones behind it. */
  apply(operations: readonly RtnlOperation[]): readonly (TwillError | undefined)[];
  /** One operation. @throws TwillError with errno and the kernel's extended ack. */
  do(operation: RtnlOperation): void;
  /** With `statistics`, counters are filled in. */
  links(options?: { readonly statistics?: boolean }): Link[];
  link(nameOrIndex: string | number): Link | undefined;
  addresses(filter?: { readonly device?: number; readonly family?: Family }): DeviceAddress[];
  /** Filtered by the kernel where it can (strict checking), else here. Local table entries included unless `table` is given. */
  routes(filter?: RouteFilter): Route[];
  rules(family: Family): Rule[];
  /** Proxy entries are kept apart by the kernel: with `proxy` only these, else only the others. */
  neighbours(filter?: { readonly device?: number; readonly family?: Family; readonly proxy?: boolean }): Neighbour[];
  fdb(filter?: { readonly device?: number }): FdbEntry[];
  /** What the kernel would do with a packet (RTM_GETROUTE). @throws TwillError with ENETUNREACH and the like. */
  routeTo(
    destination: Address,
    options?: { readonly source?: Address; readonly inputDevice?: number; readonly mark?: number },
  ): Route;
  /** Id of another namespace (open file descriptor) as seen from this one, for Link.linkNetns. */
  netnsId(netns: number): number | undefined;
  readonly counters: RtnlCounters;
  close(): void;
}

export interface RouteFilter {
  readonly family?: Family;
  readonly table?: number;
  readonly protocol?: number;
  readonly device?: number;
}

/** Requests that change the kernel, by operation; and dumps. A restart that changes nothing adds nothing to `writes`. */
export interface RtnlCounters {
  readonly writes: Readonly<Record<string, number>>;
  readonly failures: number;
  readonly dumps: number;
  readonly retriedDumps: number;
}

/** A change, as a printable value. */
export type RtnlOperation =
  | { readonly op: "link.add"; readonly spec: LinkSpec }
  | { readonly op: "link.set"; readonly index: number; readonly change: LinkChange }
  | { readonly op: "link.delete"; readonly index: number }
  | { readonly op: "address.add" | "address.replace" | "address.delete"; readonly address: DeviceAddress }
  | { readonly op: "route.add" | "route.replace" | "route.delete"; readonly route: Route }
  | { readonly op: "rule.add" | "rule.delete"; readonly rule: Rule }
  | { readonly op: "neighbour.add" | "neighbour.replace" | "neighbour.delete"; readonly neighbour: Neighbour }
  | { readonly op: "fdb.add" | "fdb.replace" | "fdb.append" | "fdb.delete"; readonly entry: FdbEntry };

export interface LinkChange {
  readonly name?: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly up?: boolean;
  /** 0 takes the link out of its bridge. */
  readonly master?: number;
  readonly alias?: string;
  /** Move into this namespace (open file descriptor). */
  readonly netns?: number;
  /** Bridge port attributes. */
  readonly hairpin?: boolean;
  /** IFLA_INET6_ADDR_GEN_MODE: "none" keeps the kernel from adding a link-local address. */
  readonly addressGeneration?: "eui64" | "none" | "stable-privacy" | "random";
}

export type RtnlGroup = "link" | "address" | "route" | "rule" | "neighbour" | "setting";

export type RtnlEvent =
  | { readonly type: "link"; readonly change: "new" | "delete"; readonly link: Link }
  | { readonly type: "address"; readonly change: "new" | "delete"; readonly address: DeviceAddress }
  | { readonly type: "route"; readonly change: "new" | "delete"; readonly route: Route }
  | { readonly type: "rule"; readonly change: "new" | "delete"; readonly rule: Rule }
  | { readonly type: "neighbour"; readonly change: "new" | "delete"; readonly neighbour: Neighbour }
  | { readonly type: "fdb"; readonly change: "new" | "delete"; readonly entry: FdbEntry }
  /** Forwarding, rp_filter and their like were written: of a device, or (undefined) of none. Other sysctls are not announced. */
  | { readonly type: "setting"; readonly change: "new"; readonly device: number | undefined }
  /** Messages were lost (ENOBUFS): read everything again. */
  | { readonly type: "overrun" };
