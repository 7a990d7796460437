import type { Address, Family } from "../../base/address.ts";
import { familyOf } from "../../base/address.ts";
import { formatInterfaceAddress, type InterfaceAddress, type Prefix, prefixFamily } from "../../base/prefix.ts";
import { atLeast, type CniVersion } from "./version.ts";

/** Success of ADD, in the terms of CNI 1.1; older versions say less of it. */
export interface CniResult {
  /** The host's end first, then the pod's: bandwidth and portmap look for them so. */
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns?: CniDns;
}

export interface CniInterface {
  readonly name: string;
  /** As written: other plugins' devices need not be Ethernet. */
  readonly mac?: string;
  /** Path of the network namespace. Absent on the host. */
  readonly sandbox?: string;
  readonly mtu?: number;
  readonly socketPath?: string;
  readonly pciID?: string;
}

export interface CniIp {
  readonly address: InterfaceAddress;
  readonly gateway?: Address;
  /** Index into `interfaces`. */
  readonly interface?: number;
}

export interface CniRoute {
  readonly dst: Prefix;
  readonly gw?: Address;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

export interface CniDns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** The text for stdout, in the shape of that version (SPEC.md of the tags spec-v0.1.0 to spec-v1.1.0). */
export function formatResult(result: CniResult, version: CniVersion): string {
  const shaped = atLeast(version, "0.3.0") ? listShape(result, version) : familyShape(result);
  return JSON.stringify({ cniVersion: version, ...shaped, dns: hasDns(result.dns) ? result.dns : undefined });
}

const hasDns = (dns: CniDns | undefined): boolean => Object.values(dns ?? {}).some((value) => value.length > 0);

/** 0.3.0 and later. 1.0 dropped `ips[].version`; 1.1 added what stands behind `modern`. */
function listShape({ interfaces, ips, routes }: CniResult, version: CniVersion): object {
  const modern = atLeast(version, "1.1.0");
  const withVersion = !atLeast(version, "1.0.0");
  return {
    interfaces: interfaces.map(({ name, mac, sandbox, ...more }) => ({ name, mac, sandbox, ...(modern && more) })),
    ips: ips.map((ip) => ({
      version: withVersion ? String(familyOf(ip.address.address)) : undefined,
      interface: ip.interface,
      address: formatInterfaceAddress(ip.address),
      gateway: ip.gateway,
    })),
    routes: routes.map(({ dst, gw, ...more }) => ({ dst, gw, ...(modern && more) })),
  };
}

/** 0.1.0 and 0.2.0: one address a family, no interfaces. */
function familyShape({ ips, routes }: CniResult): object {
  const of = (family: Family) => {
    const ip = ips.find((candidate) => familyOf(candidate.address.address) === family);
    if (ip === undefined) return undefined;
    const own = routes.filter((route) => prefixFamily(route.dst) === family);
    return {
      ip: formatInterfaceAddress(ip.address),
      gateway: ip.gateway,
      routes: own.length === 0 ? undefined : own.map(({ dst, gw }) => ({ dst, gw })),
    };
  };
  return { ip4: of(4), ip6: of(6) };
}
