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

/** From a pod to a pod. */
export async function podPair(lab: FaultLab, from: string, to: string): Promise<Pair> {
  const address = async (pod: string) =>
    (await lab.on(pod, "hostname -I 2>/dev/null || ip -4 -o address show eth0")).trim();
  const [source, destination] = [await address(from), await address(to)];
  const first = (text: string) => (/[0-9]+(?:\.[0-9]+){3}/.exec(text)?.[0] ?? "") as Pair["source"];
  return {
    name: `${from} → ${to}`,
    from: await lab.netns(from),
    to: await lab.netns(to),
    source: first(source),
    destination: first(destination),
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
