import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { NftTableKeeper } from "../../src/apply/nft-table.ts";
import { type AttachKernel, openAttachKernel } from "../../src/attach/attach-kernel.ts";
import { BridgeAttachment } from "../../src/attach/bridge/bridge-attachment.ts";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { silentLog } from "../../src/base/log.ts";
import { everything, parseInterfaceAddress } from "../../src/base/prefix.ts";
import { openConntrack } from "../../src/kernel/conntrack-socket.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import { type BridgePod, bridgeTable } from "../../src/render/policy/bridge-table.ts";
import { TestNetns } from "../support/netns.ts";
import { byAddress, Enforcer } from "./enforcer.fixture.ts";
import { stateOf } from "./policy-state.fixture.ts";
import { eventually, Wire } from "./wire.fixture.ts";

setDefaultTimeout(60_000);

/** Three pods on one node's bridge, as Flannel's are. */
interface Pod extends BridgePod {
  readonly netns: TestNetns;
}
const service = parseAddress("10.96.0.1");
let node: TestNetns;
let kernel: AttachKernel;
let pods: readonly Pod[];
let enforcer: Enforcer;
let wire: Wire;
beforeAll(() => {
  node = new TestNetns();
  const sysctls = kernelSysctls(node.fd);
  sysctls.write(["ipv4", "ip_forward"], "1");
  sysctls.write(["ipv6", "conf", "all", "forwarding"], "1");
  kernel = openAttachKernel(node.fd);
  const attachment = new BridgeAttachment(kernel, { name: "cni0", hairpin: true });
  pods = [2, 3, 4].map((host) => attach(attachment, host));
  enforcer = new Enforcer(openNft({ netns: node.fd }));
  wire = new Wire();
});
afterEach(() => {
  enforcer.off();
  const conntrack = openConntrack({ netns: node.fd });
  conntrack.deleteWhere(() => true);
  conntrack.close();
});
afterAll(() => {
  wire.close();
  enforcer.nft.close();
  kernel.close();
  for (const { netns } of pods) netns.close();
  node.close();
});

function attach(attachment: BridgeAttachment, host: number): Pod {
  const netns = new TestNetns();
  const addresses = [`10.244.1.${host}`, `fd00:10:244:1::${host}`].map(parseAddress);
  const attached = attachment.attach({
    key: { network: "cbr0", containerId: `pod-${host}`, ifname: "eth0" },
    netns: netns.fd,
    addresses: addresses.map((address) => parseInterfaceAddress(`${address}/${address.includes(":") ? 64 : 24}`)),
    gateways: ["10.244.1.1", "fd00:10:244:1::1"].map(parseAddress),
    routes: ([4, 6] as const).map((family) => ({ destination: everything(family) })),
    mtu: 1500,
  });
  return { netns, addresses, port: attached.host?.name ?? "", mac: attached.pod.mac };
}

const pod = (index: number): Pod => {
  const found = pods[index];
  if (found === undefined) throw new Error(`no pod ${index}`);
  return found;
};
const addressOf = ({ addresses }: Pod, family: 4 | 6): Address => {
  const found = addresses[family === 4 ? 0 : 1];
  if (found === undefined) throw new Error("no address");
  return found;
};

/** Whether a datagram arrives, or a decision or rule says that it was dropped. */
function arrives(from: Pod, to: Pod, family: 4 | 6, port: number, dropped: () => number): boolean {
  const receiver = wire.udp(to.netns, addressOf(to, family), port);
  const sender = wire.udp(from.netns, addressOf(from, family));
  const before = dropped();
  let arrived = false;
  eventually("arrives or is dropped", () => {
    wire.send(sender, Uint8Array.of(1), addressOf(to, family), port);
    arrived = wire.receive(receiver) > 0;
    return arrived || dropped() > before;
  });
  return arrived;
}

test("packets between pods of one bridge are judged, by their addresses; neighbours are found", () => {
  const [first, second] = [pod(0), pod(1)];
  const rows = (egress: number, ingress: number) => ({
    ...Object.fromEntries(first.addresses.map((address) => [address, [1, 0, egress] as const])),
    ...Object.fromEntries(second.addresses.map((address) => [address, [2, ingress, 0] as const])),
  });
  const dropped = () => enforcer.dropped("ingress") + enforcer.dropped("egress");
  for (const { netns } of pods) netns.run("ip", "neighbour", "flush", "all");
  for (const [index, family] of ([4, 6] as const).entries()) {
    enforcer.enforce(
      stateOf({
        addresses: rows(10, 11),
        decisions: { "10/0/0/0": "deny", "10/2/0/0": "allow", "11/0/0/0": "deny", "11/1/0/0": "allow" },
      }),
      byAddress,
    );
    expect(arrives(first, second, family, 5000 + index, dropped)).toBe(true);
    expect(arrives(pod(2), second, family, 5010 + index, dropped)).toBe(false);
    expect(arrives(first, pod(2), family, 5020 + index, dropped)).toBe(false);
    expect(arrives(second, pod(2), family, 5030 + index, dropped)).toBe(true);
  }
});

test("a pod of the bridge reaches itself through a Service, and others by their policy", () => {
  const [first, second] = [pod(0), pod(1)];
  const to = addressOf(first, 4);
  node.run(
    "nft",
    `add table ip kube
     add chain ip kube services { type nat hook prerouting priority dstnat; }
     add rule ip kube services ip daddr ${service} tcp dport 80 dnat to ${to}:8080
     add chain ip kube outgoing { type nat hook postrouting priority srcnat; }
     add rule ip kube outgoing ip saddr ${to} ip daddr ${to} masquerade`,
  );
  try {
    enforcer.enforce(
      stateOf({ addresses: { [to]: [1, 10, 11] }, decisions: { "10/0/0/0": "deny", "11/0/0/0": "deny" } }),
      byAddress,
    );
    const listener = wire.listen(first.netns, to, 8080);
    wire.connect(first.netns, to, service, 80);
    let accepted: number | undefined;
    eventually("it reaches itself", () => {
      accepted ??= wire.accept(listener);
      return accepted !== undefined;
    });
    wire.connect(second.netns, addressOf(second, 4), service, 80);
    eventually("the other is denied", () => enforcer.dropped("ingress") > 0);
    expect(wire.accept(listener)).toBeUndefined();
  } finally {
    node.run("nft", "delete table ip kube");
  }
});

test("a frame bears the port's own MAC and address, in IP, ARP and neighbour discovery", () => {
  const keeper = new NftTableKeeper({ nft: enforcer.nft, log: silentLog, family: "bridge", name: "twill" });
  const dropped = (): number => {
    const rules = enforcer.nft.rules({ family: "bridge", table: "twill" });
    const counters = rules.flatMap(({ expressions }) => expressions.filter(({ type }) => type === "counter"));
    return counters.reduce((sum, each) => sum + Number("packets" in each ? each.packets : 0n), 0);
  };
  const [first, second, third] = [pod(0), pod(1), pod(2)];
  keeper.apply(bridgeTable(pods, "twl"));
  try {
    for (const { netns } of pods) netns.run("ip", "neighbour", "flush", "all");
    for (const family of [4, 6] as const) expect(arrives(first, second, family, 6000, dropped)).toBe(true);
    expect(dropped()).toBe(0);

    // Another's address: first its IP packets, then its ARP.
    const { netns } = first;
    const stolen = addressOf(third, 4);
    netns.run("ip", "address", "add", `${stolen}/32`, "dev", "eth0");
    const sender = wire.udp(netns, stolen);
    const receiver = wire.udp(second.netns, addressOf(second, 4), 6001);
    wire.send(sender, Uint8Array.of(1), addressOf(second, 4), 6001);
    eventually("its packets are dropped", () => dropped() === 1);
    netns.run("ip", "neighbour", "flush", "all");
    wire.send(sender, Uint8Array.of(1), addressOf(second, 4), 6001);
    eventually("its ARP requests too", () => dropped() >= 2);
    netns.run("ip", "address", "del", `${stolen}/32`, "dev", "eth0");
    netns.run("ip", "neighbour", "flush", "all");

    // An address of nobody's, in IPv6, whose duplicate address detection and neighbour solicitations it may send only for itself.
    netns.run("ip", "-6", "address", "add", "fd00:10:244:1::99/128", "dev", "eth0", "nodad");
    const before = dropped();
    const sender6 = wire.udp(netns, parseAddress("fd00:10:244:1::99"));
    wire.send(sender6, Uint8Array.of(1), addressOf(second, 6), 6001);
    eventually("dropped", () => dropped() > before);
    netns.run("ip", "-6", "address", "del", "fd00:10:244:1::99/128", "dev", "eth0");

    // Its own address with another MAC.
    const mac = netns.rtnl.link("eth0")?.mac ?? "";
    netns.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99");
    const again = dropped();
    expect(arrives(first, second, 4, 6002, dropped)).toBe(false);
    expect(dropped()).toBeGreaterThan(again);
    netns.run("ip", "link", "set", "eth0", "address", mac);
    expect(wire.receive(receiver)).toBeLessThan(0);

    // A pod that nobody told of may send nothing at all.
    keeper.apply(bridgeTable([second, third], "twl"));
    expect(arrives(first, second, 4, 6003, dropped)).toBe(false);
    // A restart finds it as it is.
    keeper.resync();
    expect(keeper.reapply().writes).toEqual({});
  } finally {
    keeper.remove();
  }
});
