import type { RtnlOperation } from "../kernel/rtnl.ts";
import type { SysctlName, Sysctls } from "../kernel/sysctl.ts";
import type { Link } from "../objects/link.ts";
import type { DeviceAddress, Route } from "../objects/route.ts";
import { applyAll, type Namespace } from "./attach-kernel.ts";

/**
 * Something that must be so about a device of the node. Attaching establishes all facts of a device, checking names those
 * that do not hold, repairing establishes only these: one list serves the three.
 */
export interface Fact {
  /** What is wrong when it does not hold. */
  readonly complaint: string;
  readonly holds: (state: DeviceState) => boolean;
  /** What makes it hold. */
  readonly remedy: { readonly operation: RtnlOperation } | { readonly sysctl: SysctlName; readonly value: string };
}

export interface DeviceState {
  readonly link: Link;
  readonly addresses: readonly DeviceAddress[];
  readonly routes: readonly Route[];
  readonly sysctls: Sysctls;
}

export const failing = (facts: readonly Fact[], state: DeviceState): Fact[] =>
  facts.filter((fact) => !fact.holds(state));

/** Sysctls first (IPv6 may be switched off by one), then everything else in one send. @throws the first refusal. */
export function establish(namespace: Namespace, facts: readonly Fact[]): void {
  const operations: RtnlOperation[] = [];
  for (const { remedy } of facts) {
    if ("operation" in remedy) operations.push(remedy.operation);
    else namespace.sysctls.write(remedy.sysctl, remedy.value);
  }
  applyAll(namespace.rtnl, operations);
}

/** The state of every device, read in three dumps. */
export function readDevices(namespace: Namespace, protocol: number): Map<string, DeviceState> {
  const { rtnl, sysctls } = namespace;
  const addresses = Map.groupBy(rtnl.addresses(), ({ device }) => device);
  const routes = Map.groupBy(rtnl.routes({ protocol }), ({ device }) => device);
  return new Map(
    rtnl
      .links()
      .map((link) => [
        link.name,
        { link, addresses: addresses.get(link.index) ?? [], routes: routes.get(link.index) ?? [], sysctls },
      ]),
  );
}

/** The state of one device. */
export function readDevice(namespace: Namespace, link: Link, protocol: number): DeviceState {
  const { rtnl, sysctls } = namespace;
  const addresses = rtnl.addresses({ device: link.index });
  return { link, addresses, routes: rtnl.routes({ device: link.index, protocol }), sysctls };
}

export const isUp = ({ name, index }: Link): Fact => ({
  complaint: `${name} is down`,
  holds: ({ link }) => link.up,
  remedy: { operation: { op: "link.set", index, change: { up: true } } },
});

export const hasMtu = ({ name, index }: Link, mtu: number): Fact => ({
  complaint: `${name} has another MTU than ${mtu}`,
  holds: ({ link }) => link.mtu === mtu,
  remedy: { operation: { op: "link.set", index, change: { mtu } } },
});

export const hasSysctl = (sysctl: SysctlName, value: string): Fact => ({
  complaint: `${sysctl.join("/")} is not ${value}`,
  // A variable that this kernel does not have (IPv6 compiled out) cannot be wrong.
  holds: ({ sysctls }) => (sysctls.tryRead(sysctl) ?? value) === value,
  remedy: { sysctl, value },
});

export const hasAddress = ({ name }: Link, wanted: DeviceAddress): Fact => ({
  complaint: `${name} lacks the address ${wanted.address}/${wanted.length}`,
  holds: ({ addresses }) =>
    addresses.some(({ address, length }) => address === wanted.address && length === wanted.length),
  remedy: { operation: { op: "address.add", address: wanted } },
});

export const hasRoute = ({ name }: Link, wanted: Route): Fact => ({
  complaint: `the route to ${wanted.destination} through ${name} is missing`,
  holds: ({ routes }) =>
    routes.some(({ destination, table }) => destination === wanted.destination && table === wanted.table),
  remedy: { operation: { op: "route.add", route: wanted } },
});
