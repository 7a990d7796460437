import { parseAddress } from "../../src/base/address.ts";
import { parseNetConf, sameNetwork } from "../../src/intent/flannel/net-conf.ts";
import type { ChangeStatus } from "../../src/model/status.ts";
import { type FaultLab, until } from "./fault-lab.fixture.ts";
import type { Pair } from "./traffic.fixture.ts";

const network = { Network: "10.244.0.0/16" };
const vxlan = (options: object = {}) => ({ ...network, Backend: { Type: "vxlan", ...options } });

/** What a cluster on several links can be, and go between without loss. */
export const routedConfigs: Readonly<Record<string, object>> = {
  vxlan: vxlan(),
  "vxlan with DirectRouting": vxlan({ DirectRouting: true }),
  "another VNI": vxlan({ VNI: 7 }),
  "another port": vxlan({ Port: 4789 }),
  "a small MTU": vxlan({ MTU: 1400 }),
  "another VNI and port, direct, small": vxlan({ VNI: 7, Port: 4790, DirectRouting: true, MTU: 1420 }),
};
/** One link takes host-gw, too. */
export const linkConfigs: Readonly<Record<string, object>> = {
  ...routedConfigs,
  "host-gw": { ...network, Backend: { Type: "host-gw" } },
};

/** Strict reverse path filtering, as many distributions have it. */
export async function filterStrictly(lab: FaultLab, nodes: readonly string[]): Promise<void> {
  for (const node of nodes)
    await lab.on(node, "for name in all default eth0; do echo 1 > /proc/sys/net/ipv4/conf/$name/rp_filter; done");
}

/** The same configurations with IPv6 beside. */
export const inBothFamilies = (configs: Readonly<Record<string, object>>): Readonly<Record<string, object>> =>
  Object.fromEntries(
    Object.entries(configs).map(([name, config]) => [
      name,
      { ...config, EnableIPv6: true, IPv6Network: "fd00:244::/56" },
    ]),
  );

/** From a pod to a pod. */
export async function podPair(lab: FaultLab, from: string, to: string, family: 4 | 6 = 4): Promise<Pair> {
  const address = async (pod: string) => {
    const lines = await lab.on(pod, `ip -${family} -o address show dev eth0 scope global`);
    return parseAddress(/inet6? ([^/ ]+)/.exec(lines)?.[1] ?? "");
  };
  return {
    name: `${from} → ${to}, IPv${family}`,
    from: await lab.netns(from),
    to: await lab.netns(to),
    source: await address(from),
    destination: await address(to),
  };
}

export const changeOf = async (lab: FaultLab, node: string): Promise<ChangeStatus | undefined> =>
  (await lab.status(node)).change;

/** Until what is stored is the target, and none of these nodes has anything left to do for it. */
export async function settled(lab: FaultLab, nodes: readonly string[], milliseconds = 60_000): Promise<void> {
  let left = "";
  await until(
    async () => {
      const standings = (await lab.leases()).map(({ node, standing }) => ({ node, standing }));
      const targets = await lab.target();
      const [target, stored] = [targets.configs.get(targets.id), await lab.storedConfig()];
      left = JSON.stringify({ targets, standings });
      if (target === undefined || !sameNetwork(target, parseNetConf(stored))) return false;
      return standings
        .filter(({ node }) => nodes.includes(node))
        .every(
          ({ standing }) =>
            standing?.epoch === targets.epoch && standing.offers.length === 1 && standing.sends === targets.id,
        );
    },
    () => `the change ends: ${left}`,
    milliseconds,
  );
}
