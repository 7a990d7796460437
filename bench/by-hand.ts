/**
 * The peer of the throughput benchmark: the same topology as `twill lab up --nodes 2 --subnets 1 --pods 2`, laid by hand
 * with `ip` and `nft` as an experienced administrator would: routed veths, masquerade rule, and VXLAN or plain routes.
 */
export type Way = "vxlan" | "host-gw";

export interface ByHand {
  /** Runs a command in a pod ("node1/pod-a") and returns what it printed. */
  exec(pod: string, ...command: string[]): string;
  /** The same in the background. */
  start(pod: string, ...command: string[]): Bun.Subprocess;
  readonly address: Readonly<Record<string, string>>;
  remove(): void;
}

const prefix = "twbench-";
const nodes = [1, 2] as const;
const pods = ["a", "b"] as const;

function run(...command: string[]): string {
  const result = Bun.spawnSync(command, { stderr: "pipe" });
  if (result.exitCode !== 0) throw new Error(`${command.join(" ")}: ${result.stderr.toString().trim()}`);
  return result.stdout.toString();
}

export function layByHand(way: Way): ByHand {
  removeAll();
  const address: Record<string, string> = {};
  const router = `${prefix}router`;
  run("ip", "netns", "add", router);
  const inNode = (node: number | string, ...command: string[]) =>
    run("ip", "netns", "exec", `${prefix}${node}`, ...command);
  inNode("router", "ip", "link", "add", "br0", "type", "bridge");
  inNode("router", "ip", "addr", "add", "192.168.1.1/24", "dev", "br0");
  inNode("router", "ip", "link", "set", "br0", "up");

  for (const node of nodes) {
    const name = `node${node}`;
    run("ip", "netns", "add", `${prefix}${name}`);
    inNode(
      "router",
      "ip",
      "link",
      "add",
      name,
      "master",
      "br0",
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      `${prefix}${name}`,
    );
    inNode("router", "ip", "link", "set", name, "up");
    inNode(name, "ip", "addr", "add", `192.168.1.1${node}/24`, "dev", "eth0");
    for (const device of ["lo", "eth0"]) inNode(name, "ip", "link", "set", device, "up");
    inNode(name, "ip", "route", "add", "default", "via", "192.168.1.1");
    inNode(name, "sysctl", "-qw", "net.ipv4.ip_forward=1");
    const other = 3 - node;
    if (way === "vxlan") {
      const mac = (of: number) => `0e:00:00:00:00:0${of}`;
      inNode(
        name,
        "ip",
        "link",
        "add",
        "flannel.1",
        "address",
        mac(node),
        "type",
        "vxlan",
        "id",
        "1",
        "dstport",
        "8472",
        "local",
        `192.168.1.1${node}`,
        "dev",
        "eth0",
        "nolearning",
      );
      inNode(name, "ip", "addr", "add", `10.244.${node}.0/32`, "dev", "flannel.1");
      inNode(name, "ip", "link", "set", "flannel.1", "mtu", "1450", "up");
      inNode(
        name,
        "ip",
        "neigh",
        "add",
        `10.244.${other}.0`,
        "lladdr",
        mac(other),
        "dev",
        "flannel.1",
        "nud",
        "permanent",
      );
      inNode(
        name,
        "bridge",
        "fdb",
        "add",
        mac(other),
        "dev",
        "flannel.1",
        "dst",
        `192.168.1.1${other}`,
        "self",
        "permanent",
      );
      inNode(
        name,
        "ip",
        "route",
        "add",
        `10.244.${other}.0/24`,
        "via",
        `10.244.${other}.0`,
        "dev",
        "flannel.1",
        "onlink",
      );
    } else {
      inNode(name, "ip", "route", "add", `10.244.${other}.0/24`, "via", `192.168.1.1${other}`, "dev", "eth0");
    }
    for (const rule of [
      "add table inet byhand",
      "add chain inet byhand postrouting { type nat hook postrouting priority srcnat; }",
      "add chain inet byhand forwarding { type filter hook forward priority filter; }",
      "add rule inet byhand postrouting ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 return",
      "add rule inet byhand postrouting ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random",
      `add rule inet byhand postrouting ip saddr != 10.244.0.0/16 ip daddr 10.244.${node}.0/24 return`,
      "add rule inet byhand forwarding ip saddr 10.244.0.0/16 accept",
      "add rule inet byhand forwarding ip daddr 10.244.0.0/16 accept",
    ]) {
      inNode(name, "nft", rule);
    }
    for (const [index, pod] of pods.entries()) layPod(node, pod, index + 2, way, address);
  }

  const netns = (pod: string) => `${prefix}${pod.replace("/", "-")}`;
  return {
    address,
    exec: (pod, ...command) => run("ip", "netns", "exec", netns(pod), ...command),
    start: (pod, ...command) =>
      Bun.spawn(["ip", "netns", "exec", netns(pod), ...command], { stdio: ["ignore", "ignore", "ignore"] }),
    remove: removeAll,
  };
}

function layPod(node: number, pod: string, host: number, way: Way, address: Record<string, string>): void {
  const namespace = `${prefix}node${node}-pod-${pod}`;
  const inNode = (...command: string[]) => run("ip", "netns", "exec", `${prefix}node${node}`, ...command);
  const inPod = (...command: string[]) => run("ip", "netns", "exec", namespace, ...command);
  const own = `10.244.${node}.${host}`;
  address[`node${node}/pod-${pod}`] = own;
  run("ip", "netns", "add", namespace);
  inNode(
    "ip",
    "link",
    "add",
    `pod-${pod}`,
    "mtu",
    mtuOf(way),
    "type",
    "veth",
    "peer",
    "name",
    "eth0",
    "mtu",
    mtuOf(way),
    "netns",
    namespace,
  );
  inNode("ip", "link", "set", `pod-${pod}`, "up");
  inNode("sysctl", "-qw", `net.ipv4.conf.pod-${pod}.proxy_arp=1`, `net.ipv4.neigh.pod-${pod}.proxy_delay=0`);
  inNode("ip", "route", "add", own, "dev", `pod-${pod}`);
  inPod("ip", "addr", "add", `${own}/32`, "dev", "eth0");
  for (const device of ["lo", "eth0"]) inPod("ip", "link", "set", device, "up");
  inPod("ip", "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link");
  inPod("ip", "route", "add", "default", "via", "169.254.1.1", "dev", "eth0");
}

const mtuOf = (way: Way): string => (way === "vxlan" ? "1450" : "1500");

function removeAll(): void {
  for (const line of run("ip", "netns", "list").split("\n")) {
    const name = line.split(" ")[0] ?? "";
    if (name.startsWith(prefix)) run("ip", "netns", "del", name);
  }
}
