import { type Address, type Family, familyOf, parseAddress } from "../../src/base/address.ts";
import type { bareCluster } from "./bare.ts";
import type { ConformanceCluster } from "./cluster.ts";
import { allPods, type Probe } from "./probe.ts";

/**
 * The matrix through Service addresses: each pod has one that stands for it alone, translated on every node as kube-proxy does it, at
 * dstnat, with masquerade for a pod that reaches itself. Policy must say the same as for the pods' own addresses.
 */
export function throughServices(cluster: ReturnType<typeof bareCluster>): ConformanceCluster {
  for (const { netns } of cluster.rig.nodes) load(netns, ruleset(cluster));
  const through = (probe: Probe): Probe => (allPods.includes(probe.to) ? { ...probe, to: serviceOf(probe.to) } : probe);
  return {
    ...cluster,
    name: "bare namespaces, through Services",
    probe: async (probes, expected) => {
      const byText = new Map(probes.map((probe) => [JSON.stringify(through(probe)), probe]));
      return cluster.probe(probes.map(through), (probe) => expected(byText.get(JSON.stringify(probe)) ?? probe));
    },
  };
}

/** Its name among the parties. */
export const serviceOf = (pod: string): string => `service of ${pod}`;

/** 10.96.0.1 to .9, and as many of IPv6. */
export const serviceAddresses = (pod: string): Address[] => {
  const number = allPods.indexOf(pod) + 1;
  return [`10.96.0.${number}`, `fd00:96::${number}`].map(parseAddress);
};

function ruleset({ addressesOf }: ConformanceCluster): string {
  const of = (addresses: readonly Address[], family: Family): string =>
    addresses.find((address) => familyOf(address) === family) ?? "";
  const map = (family: Family): string =>
    allPods.map((pod) => `${of(serviceAddresses(pod), family)} : ${of(addressesOf(pod), family)}`).join(", ");
  const hairpin = allPods.flatMap((pod) =>
    addressesOf(pod).map((address) => {
      const ip = familyOf(address) === 4 ? "ip" : "ip6";
      return `${ip} saddr ${address} ${ip} daddr ${address} masquerade`;
    }),
  );
  return `table inet services {
    chain dstnat {
      type nat hook prerouting priority dstnat
      dnat ip to ip daddr map { ${map(4)} }
      dnat ip6 to ip6 daddr map { ${map(6)} }
    }
    chain output {
      type nat hook output priority -100
      dnat ip to ip daddr map { ${map(4)} }
      dnat ip6 to ip6 daddr map { ${map(6)} }
    }
    chain srcnat {
      type nat hook postrouting priority srcnat
      ${hairpin.join("\n      ")}
    }
  }`;
}

function load(netns: ReturnType<typeof bareCluster>["rig"]["outside"], text: string): void {
  const done = netns.enter(() =>
    Bun.spawnSync(["nft", "-f", "-"], { stdin: new TextEncoder().encode(text), stderr: "pipe" }),
  );
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
}
