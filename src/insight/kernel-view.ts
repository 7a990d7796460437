import type { Family } from "../base/address.ts";
import { isCode } from "../base/errors.ts";
import type { Nft } from "../kernel/nft.ts";
import type { Rtnl } from "../kernel/rtnl.ts";
import type { Sysctls } from "../kernel/sysctl.ts";
import type { Link } from "../objects/link.ts";
import type { FdbEntry, Neighbour } from "../objects/neighbour.ts";
import type { NftChain, NftElement, NftFamily, NftRule, NftSet } from "../objects/nft.ts";
import type { DeviceAddress, Route, Rule } from "../objects/route.ts";

/** What the kernel of one network namespace holds, as far as a packet's way depends on it. A plain value. */
export interface KernelView {
  readonly links: readonly Link[];
  readonly addresses: readonly DeviceAddress[];
  /** All tables. */
  readonly routes: readonly Route[];
  readonly rules: readonly Rule[];
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly FdbEntry[];
  readonly ruleset: Ruleset;
  /** By path below /proc/sys/net, joined by slashes: "ipv4/conf/eth0/rp_filter". Those of `settingsOf`. */
  readonly settings: ReadonlyMap<string, string>;
}

/** Every nf_tables table, ours and others'. */
export interface Ruleset {
  readonly chains: readonly NftChain[];
  readonly rules: readonly NftRule[];
  readonly sets: readonly NftSet[];
  /** Read when a rule asks: kube-proxy's sets may hold very many. */
  readonly elements: (family: NftFamily, table: string, set: string) => readonly NftElement[];
}

export const noRuleset: Ruleset = { chains: [], rules: [], sets: [], elements: () => [] };

/** @param nft undefined: the namespace's rules are left out (a pod's own are not looked at). */
export function readKernel(rtnl: Rtnl, sysctls: Sysctls, nft?: Nft): KernelView {
  const links = rtnl.links();
  const families: readonly Family[] = [4, 6];
  return {
    links,
    addresses: rtnl.addresses(),
    routes: rtnl.routes(),
    rules: families.flatMap((family) => rtnl.rules(family)),
    neighbours: rtnl.neighbours(),
    fdb: rtnl.fdb(),
    ruleset: nft === undefined ? noRuleset : readRuleset(nft),
    settings: readSettings(links, sysctls),
  };
}

function readRuleset(nft: Nft): Ruleset {
  const cache = new Map<string, readonly NftElement[]>();
  return {
    chains: nft.chains(),
    rules: nft.rules(),
    sets: nft.sets(),
    elements: (family, table, set) => {
      const id = `${family} ${table} ${set}`;
      const known = cache.get(id);
      if (known !== undefined) return known;
      let read: readonly NftElement[] = [];
      try {
        read = nft.elements({ family, table, set });
      } catch (error) {
        // Gone since the rules were read.
        if (!isCode(error, "not-found")) throw error;
      }
      cache.set(id, read);
      return read;
    },
  };
}

const global = [
  ["ipv4", "ip_forward"],
  ["ipv4", "conf", "all", "rp_filter"],
  ["ipv6", "conf", "all", "forwarding"],
  ["ipv6", "conf", "all", "disable_ipv6"],
  ["netfilter", "nf_conntrack_count"],
  ["netfilter", "nf_conntrack_max"],
  ["ipv4", "neigh", "default", "gc_thresh3"],
  ["ipv6", "neigh", "default", "gc_thresh3"],
  ["bridge", "bridge-nf-call-iptables"],
  ["bridge", "bridge-nf-call-ip6tables"],
] as const;

const perDevice = [
  ["ipv4", "rp_filter"],
  ["ipv4", "forwarding"],
  ["ipv6", "disable_ipv6"],
] as const;

function readSettings(links: readonly Link[], sysctls: Sysctls): Map<string, string> {
  const names: (readonly string[])[] = [
    ...global,
    ...links.flatMap((link) => perDevice.map(([family, name]) => [family, "conf", link.name, name])),
  ];
  return new Map(
    names.flatMap((name) => {
      const value = sysctls.tryRead(name);
      return value === undefined ? [] : [[name.join("/"), value] as const];
    }),
  );
}

export const linkNamed = (view: KernelView, name: string): Link | undefined =>
  view.links.find((link) => link.name === name);
export const linkOf = (view: KernelView, index: number | undefined): Link | undefined =>
  index === undefined ? undefined : view.links.find((link) => link.index === index);
export const nameOf = (view: KernelView, index: number | undefined): string =>
  linkOf(view, index)?.name ?? (index === undefined ? "no device" : `device ${index}`);
