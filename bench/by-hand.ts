import type { Cluster, Layout } from "./cluster.ts";
import { Namespace } from "./namespace.ts";

/**
 * The peer of the throughput benchmark: the topology of `twill lab up --nodes 2 --subnets 1 --pods 2`, laid with `ip` and
 * `nft` as an experienced administrator would: routed veths, VXLAN or plain routes, the masquerade rule, forwarding allowed.
 * What a packet meets is the same on both sides: devices, MTUs, one underlay bridge, routes, hooks and rules.
 */
export function layByHand(layout: Layout): Cluster {
  const places = new Map<string, Namespace>();
  const addresses = new Map<string, string>();
  const make = (name: string): Namespace => {
    const netns = new Namespace();
    places.set(name, netns);
    netns.run("ip link set lo up");
    return netns;
  };
  try {
    const router = make("router");
    router.run("ip link add br0 type bridge");
    router.run("ip addr add 192.168.1.1/24 dev br0");
    router.run("ip link set br0 up");
    for (const number of [1, 2]) {
      const node = make(`node${number}`);
      layNode(router, node, number, layout);
      for (const [index, name] of ["pod-a", "pod-b"].entries()) {
        const address = `10.244.${number}.${index + 2}`;
        layPod(node, make(`node${number}/${name}`), name, address, layout.mtu);
        addresses.set(`node${number}/${name}`, address);
      }
    }
  } catch (error) {
    closeAll(places);
    throw error;
  }
  return {
    place: (name) => required(places.get(name), name),
    address: (pod) => required(addresses.get(pod), pod),
    close: () => closeAll(places),
  };
}

function layNode(router: Namespace, node: Namespace, number: number, { tunnel }: Layout): void {
  const other = 3 - number;
  router.run(`ip link add node${number} master br0 type veth peer name eth0 netns ${node.path}`);
  router.run(`ip link set node${number} up`);
  node.run(`ip addr add 192.168.1.1${number}/24 dev eth0`);
  node.run("ip link set eth0 up");
  node.run("ip route add default via 192.168.1.1");
  node.run("sysctl -qw net.ipv4.ip_forward=1");
  if (tunnel) {
    const mac = (of: number) => `0e:00:00:00:00:0${of}`;
    const settings = `id 1 dstport 8472 local 192.168.1.1${number} dev eth0 nolearning noudpcsum`;
    node.run(`ip link add flannel.1 address ${mac(number)} type vxlan ${settings}`);
    node.run(`ip addr add 10.244.${number}.0/32 dev flannel.1`);
    node.run("ip link set flannel.1 mtu 1450 up");
    node.run(`ip neigh add 10.244.${other}.0 lladdr ${mac(other)} dev flannel.1 nud permanent`);
    node.run(`bridge fdb add ${mac(other)} dev flannel.1 dst 192.168.1.1${other} self permanent`);
    node.run(`ip route add 10.244.${other}.0/24 via 10.244.${other}.0 dev flannel.1 onlink`);
  } else {
    node.run(`ip route add 10.244.${other}.0/24 via 192.168.1.1${other} dev eth0`);
  }
  for (const rule of [
    "add table inet byhand",
    "add chain inet byhand postrouting { type nat hook postrouting priority srcnat; }",
    "add chain inet byhand forwarding { type filter hook forward priority filter; }",
    "add rule inet byhand postrouting meta mark & 0x4000 == 0x4000 return",
    "add rule inet byhand postrouting ip daddr 10.244.0.0/16 return",
    "add rule inet byhand postrouting ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random",
    "add rule inet byhand forwarding ip saddr 10.244.0.0/16 accept",
    "add rule inet byhand forwarding ip daddr 10.244.0.0/16 accept",
  ])
    node.run(`nft ${rule}`);
}

function layPod(node: Namespace, pod: Namespace, name: string, address: string, mtu: number): void {
  node.run(`ip link add ${name} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${pod.path}`);
  node.run(`ip link set ${name} up`);
  // rp_filter as Twill sets it: a pod cannot send with another's address. It costs 0.2 µs a packet.
  node.run(`sysctl -qw net.ipv4.conf.${name}.proxy_arp=1 net.ipv4.conf.${name}.rp_filter=1`);
  node.run(`ip route add ${address} dev ${name}`);
  pod.run(`ip addr add ${address}/32 dev eth0`);
  pod.run("ip link set eth0 up");
  pod.run("ip route add 169.254.1.1 dev eth0 scope link");
  pod.run("ip route add default via 169.254.1.1 dev eth0");
}

function closeAll(places: ReadonlyMap<string, Namespace>): void {
  for (const netns of places.values()) netns.close();
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`there is no ${name}`);
  return value;
}
