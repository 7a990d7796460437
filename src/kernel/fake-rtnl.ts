import { type Address, type Family, familyOf } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { parseMac } from "../base/mac.ts";
import { prefixFamily } from "../base/prefix.ts";
import type { Link } from "../objects/link.ts";
import type { FdbEntry, Neighbour } from "../objects/neighbour.ts";
import { type DeviceAddress, localTable, mainTable, type Route, type Rule } from "../objects/route.ts";
import { EEXIST, ENOENT, errnoError } from "./errno.ts";
import { FakeForwarding } from "./fake-forwarding.ts";
import { FakeLinks } from "./fake-links.ts";
import type { FakeNetwork } from "./fake-network.ts";
import { FakeRouting } from "./fake-routing.ts";
import type { RouteFilter, Rtnl, RtnlCounters, RtnlEvent, RtnlGroup, RtnlOperation } from "./rtnl.ts";
import { describeOperation } from "./rtnl-operation.ts";

/**
 * One namespace in memory, with `lo` (down), IPv4 and IPv6. It refuses what the kernel refuses and changes what the kernel
 * changes along; a contract suite holds both to the same answers.
 */
export class FakeRtnl implements Rtnl {
  readonly network: FakeNetwork;
  readonly linkTable: FakeLinks;
  readonly routing: FakeRouting;
  readonly forwarding: FakeForwarding;
  /** Set to make operations fail: return the error, or undefined to let one through. */
  refuse: ((operation: RtnlOperation) => TwillError | undefined) | undefined;
  #rules: Rule[] = defaultRules();
  readonly #writes: Record<string, number> = {};
  #failures = 0;
  #dumps = 0;
  readonly #watchers = new Set<Watcher>();

  /** @param network makes the numbers that namespaces share; FakeNetwork.namespace passes itself. */
  constructor(network: FakeNetwork) {
    this.network = network;
    const emit = (event: RtnlEvent) => this.#emit(event);
    const link = (index: number) => this.linkTable.get(index)?.link;
    this.routing = new FakeRouting(link, emit);
    this.forwarding = new FakeForwarding(link, emit);
    this.linkTable = new FakeLinks(network, this.routing, this.forwarding, emit);
    const mac = parseMac("00:00:00:00:00:00");
    this.linkTable.insert({ name: "lo", kind: { type: "physical" }, mac, mtu: 65536, loopback: true });
  }

  get counters(): RtnlCounters {
    return { writes: { ...this.#writes }, failures: this.#failures, dumps: this.#dumps, retriedDumps: 0 };
  }

  do(operation: RtnlOperation): void {
    const error = this.apply([operation])[0];
    if (error !== undefined) throw error;
  }

  apply(operations: readonly RtnlOperation[]): (TwillError | undefined)[] {
    return operations.map((operation) => {
      this.#writes[operation.op] = (this.#writes[operation.op] ?? 0) + 1;
      try {
        const refused = this.refuse?.(operation);
        if (refused !== undefined) throw refused;
        this.#perform(operation);
        return undefined;
      } catch (error) {
        if (!(error instanceof TwillError) || error.code === "internal") throw error;
        this.#failures++;
        return new TwillError(error.code, error.message, {
          ...describeOperation(operation),
          ...(error.errno === undefined ? {} : { errno: error.errno }),
        });
      }
    });
  }

  #perform(operation: RtnlOperation): void {
    switch (operation.op) {
      case "link.add":
        this.linkTable.add(operation.spec);
        break;
      case "link.set":
        this.linkTable.change(operation.index, operation.change);
        break;
      case "link.delete":
        this.linkTable.delete(operation.index);
        break;
      case "address.add":
      case "address.replace":
        this.routing.addAddress(operation.address, operation.op === "address.replace");
        break;
      case "address.delete":
        this.routing.deleteAddress(operation.address);
        break;
      case "route.add":
      case "route.replace":
        this.routing.addRoute(operation.route, operation.op === "route.replace");
        break;
      case "route.delete":
        this.routing.deleteRoute(operation.route);
        break;
      case "rule.add":
        this.#addRule(operation.rule);
        break;
      case "rule.delete":
        this.#deleteRule(operation.rule);
        break;
      case "neighbour.add":
      case "neighbour.replace":
        this.forwarding.addNeighbour(operation.neighbour, operation.op === "neighbour.replace");
        break;
      case "neighbour.delete":
        this.forwarding.deleteNeighbour(operation.neighbour);
        break;
      case "fdb.add":
      case "fdb.replace":
      case "fdb.append":
        this.forwarding.addEntry(operation.entry, fdbModes[operation.op]);
        break;
      case "fdb.delete":
        this.forwarding.deleteEntry(operation.entry);
        break;
    }
  }

  #addRule(rule: Rule): void {
    if (this.#rules.some((other) => sameRule(other, rule))) throw errnoError(EEXIST);
    this.#rules = [...this.#rules, rule].sort((a, b) => a.priority - b.priority);
    this.#emit({ type: "rule", change: "new", rule });
  }

  #deleteRule(rule: Rule): void {
    const found = this.#rules.find((other) => sameRule(other, rule));
    if (found === undefined) throw errnoError(ENOENT);
    this.#rules = this.#rules.filter((other) => other !== found);
    this.#emit({ type: "rule", change: "delete", rule: found });
  }

  links(): Link[] {
    this.#dumps++;
    return this.linkTable.all();
  }

  link(nameOrIndex: string | number): Link | undefined {
    const found = typeof nameOrIndex === "number" ? this.linkTable.get(nameOrIndex) : this.linkTable.named(nameOrIndex);
    return found?.link;
  }

  addresses(filter: { readonly device?: number; readonly family?: Family } = {}): DeviceAddress[] {
    this.#dumps++;
    return this.routing.addresses.filter(
      (address) =>
        (filter.device === undefined || address.device === filter.device) &&
        (filter.family === undefined || familyOf(address.address) === filter.family),
    );
  }

  routes(filter: RouteFilter = {}): Route[] {
    this.#dumps++;
    return this.routing.routes.filter(
      (route) =>
        (filter.family === undefined || prefixFamily(route.destination) === filter.family) &&
        (filter.table === undefined || route.table === filter.table) &&
        (filter.protocol === undefined || route.protocol === filter.protocol) &&
        (filter.device === undefined ||
          route.device === filter.device ||
          route.hops?.some((hop) => hop.device === filter.device) === true),
    );
  }

  rules(family: Family): Rule[] {
    this.#dumps++;
    return this.#rules.filter((rule) => rule.family === family);
  }

  neighbours(
    filter: { readonly device?: number; readonly family?: Family; readonly proxy?: boolean } = {},
  ): Neighbour[] {
    this.#dumps++;
    return this.forwarding.neighbours.filter(
      (neighbour) =>
        (filter.device === undefined || neighbour.device === filter.device) &&
        (filter.family === undefined || familyOf(neighbour.address) === filter.family) &&
        (neighbour.proxy === true) === (filter.proxy === true),
    );
  }

  fdb(filter: { readonly device?: number } = {}): FdbEntry[] {
    this.#dumps++;
    return this.forwarding.entries.filter((entry) => filter.device === undefined || entry.device === filter.device);
  }

  routeTo(destination: Address): Route {
    return this.routing.lookup(destination);
  }

  netnsId(netns: number): number | undefined {
    const other = this.network.namespace(netns).linkTable;
    return this.linkTable.reaches(other) ? this.network.idOf(other) : undefined;
  }

  close(): void {
    this.#watchers.clear();
  }

  /** As watchRtnl: events come later, in order, in a microtask. */
  watch(groups: readonly RtnlGroup[], listener: (event: RtnlEvent) => void): { close(): void } {
    const watcher: Watcher = { groups, listener };
    this.#watchers.add(watcher);
    return { close: () => void this.#watchers.delete(watcher) };
  }

  /** Tells every watcher that events were lost. */
  overrun(): void {
    this.#emit({ type: "overrun" });
  }

  #emit(event: RtnlEvent): void {
    for (const watcher of this.#watchers) {
      if (event.type !== "overrun" && !watcher.groups.includes(event.type === "fdb" ? "neighbour" : event.type))
        continue;
      queueMicrotask(() => {
        if (this.#watchers.has(watcher)) watcher.listener(event);
      });
    }
  }
}

interface Watcher {
  readonly groups: readonly RtnlGroup[];
  readonly listener: (event: RtnlEvent) => void;
}

const fdbModes = { "fdb.add": "add", "fdb.replace": "replace", "fdb.append": "append" } as const;

/** What a kernel has before anybody adds rules. RTPROT_KERNEL. */
function defaultRules(): Rule[] {
  const rule = (family: Family, priority: number, table: number): Rule => {
    return { family, priority, table, action: "lookup", protocol: 2 };
  };
  const defaultTable = 253;
  return [
    rule(4, 0, localTable),
    rule(6, 0, localTable),
    rule(4, 32766, mainTable),
    rule(6, 32766, mainTable),
    rule(4, 32767, defaultTable),
  ];
}

const sameRule = (a: Rule, b: Rule): boolean =>
  a.family === b.family &&
  a.priority === b.priority &&
  a.table === b.table &&
  a.source === b.source &&
  a.destination === b.destination &&
  a.mark === b.mark &&
  a.inputDevice === b.inputDevice &&
  a.outputDevice === b.outputDevice &&
  a.action === b.action;
