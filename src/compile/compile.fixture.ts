import { dualStack, lease, localNode, macOf } from "../backend/backend.contract.ts";
import { parsePrefix } from "../base/prefix.ts";
import { pick, type Random } from "../base/random.ts";
import type { Lease, VxlanConfig } from "../model/network.ts";

export const config: VxlanConfig = {
  ...{ type: "vxlan", vni: 1, port: 8472, gbp: false, learning: false, directRouting: false },
};
export const network = dualStack(config);
export const local = localNode(["flannel.1", "flannel-v6.1"]);

export const peer = (number: number, change: Partial<Lease> = {}): Lease => ({
  ...lease("vxlan", number, { 4: { VNI: 1, VtepMAC: macOf(number) }, 6: { VNI: 1, VtepMAC: macOf(number) } }),
  ...change,
});

/** A lease as a hostile or confused cluster might write it: overlaps, strangers, missing addresses, doubled MACs. */
export function hostileLease(random: Random, node: string): Lease {
  const rarely = (often: number) => random.below(often) === 0;
  const subnet = () =>
    parsePrefix(`10.${rarely(12) ? 9 : 244}.${random.below(30)}.0/${pick(random, [20, 22, 24, 24, 26])}`);
  const base = peer(1 + random.below(60), { node });
  return {
    ...base,
    subnets: rarely(4) ? [subnet(), subnet()] : [subnet()],
    addresses: rarely(10) ? [] : rarely(20) ? peer(0).addresses : base.addresses,
    backendType: rarely(12) ? "host-gw" : "vxlan",
    backendData: rarely(10) ? {} : { 4: { VNI: rarely(10) ? 2 : 1, VtepMAC: macOf(random.below(40)) } },
    ...(rarely(2) ? { peerPort: 9098 } : {}),
  };
}

export const shuffled = <T>(random: Random, items: readonly T[]): readonly T[] =>
  items
    .map((item) => ({ item, at: random.below(1e9) }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
