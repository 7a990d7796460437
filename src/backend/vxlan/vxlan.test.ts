import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { parsePrefix } from "../../base/prefix.ts";
import type { Lease, VxlanConfig } from "../../model/network.ts";
import type { LocalNode } from "../../model/node.ts";
import { backendContract, dualStack, lease, localNode, macOf, onlyFamily } from "../backend.contract.ts";
import type { PeerPlan } from "../backend.ts";
import { readVxlanData } from "./backend-data.ts";
import { deviceName } from "./device.ts";
import { vxlan } from "./vxlan.ts";

const config: VxlanConfig = {
  type: "vxlan",
  vni: 1,
  port: 8472,
  gbp: false,
  learning: false,
  directRouting: false,
};
const data = (number: number): Lease["backendData"] => ({
  4: { VNI: 1, VtepMAC: macOf(number) },
  6: { VNI: 1, VtepMAC: macOf(number) },
});
const spoil = (good: Lease): Lease => ({ ...good, backendData: { 4: { VNI: 1, VtepMAC: "no" }, 6: { VNI: 1 } } });
const overhead = { 4: 50, 6: 70 };

backendContract("vxlan", { backend: vxlan, config, data, spoil, overhead });
backendContract("vxlan with DirectRouting", {
  backend: vxlan,
  config: { ...config, directRouting: true },
  data,
  spoil: (good) => ({ ...good, addresses: [] }),
  overhead,
});

const network = dualStack(config);
const local = localNode(vxlan.macsFor(config, network));
const far = (number: number): Lease => ({
  ...lease("vxlan", number, data(number)),
  addresses: [parseAddress(`172.16.0.${number}`), parseAddress(`fd02::${number.toString(16)}`)],
});

describe("vxlan", () => {
  test("the devices are Flannel's", () => {
    const [v4, v6] = vxlan.plan(config, network, local).tunnels;
    expect(v4).toEqual({
      name: "flannel.1",
      kind: {
        type: "vxlan",
        vni: 1,
        port: 8472,
        local: parseAddress("192.168.0.1"),
        underlay: "eth0",
        learning: false,
        gbp: false,
        outerChecksum: false,
      },
      mac: local.macs["flannel.1"] ?? macOf(0),
      mtu: 1450,
      addresses: [parsePrefix("10.244.0.0/32")],
      txChecksumOffload: true,
    });
    expect(v6).toMatchObject({ name: "flannel-v6.1", mtu: 1430, addresses: ["fd00:10:244::/128"] });
    expect(v6?.kind.outerChecksum).toBe(true);
  });

  test("a remote node is a neighbour, a forwarding entry and an onlink route a family", () => {
    const plan = vxlan.peerPlanner(config, onlyFamily(network, 4), local)(far(7));
    expect(plan.neighbours).toEqual([{ device: "flannel.1", address: parseAddress("10.244.7.0"), mac: macOf(7) }]);
    expect(plan.forwarding).toEqual([{ device: "flannel.1", mac: macOf(7), remote: parseAddress("172.16.0.7") }]);
    expect(plan.routes).toEqual([
      {
        destination: parsePrefix("10.244.7.0/24"),
        device: "flannel.1",
        gateway: parseAddress("10.244.7.0"),
        onlink: true,
      },
    ]);
  });

  test("advertises what Flannel writes", () => {
    expect(JSON.stringify(vxlan.advertise(config, onlyFamily(network, 4), local))).toBe(
      '{"backendType":"vxlan","backendData":{"4":{"VNI":1,"VtepMAC":"0e:ff:00:00:00:00"}}}',
    );
  });

  test("DirectRouting: direct on the link, by tunnel to the rest, device kept for both", () => {
    const direct: VxlanConfig = { ...config, directRouting: true };
    const planner = vxlan.peerPlanner(direct, network, local);
    const [near, distant] = [planner(lease("vxlan", 3, data(3))), planner(far(4))];
    const ways = ({ routes }: PeerPlan) => routes.map((route) => [route.device, route.gateway, route.onlink]);
    expect(ways(near)).toEqual([
      ["eth0", parseAddress("192.168.0.4"), false],
      ["eth0", parseAddress("fd01::4"), false],
    ]);
    expect(ways(distant)).toEqual([
      ["flannel.1", parseAddress("10.244.4.0"), true],
      ["flannel-v6.1", parseAddress("fd00:10:244:4::"), true],
    ]);
    expect([near.neighbours.length, near.forwarding.length]).toEqual([0, 0]);
    expect([distant.neighbours.length, distant.forwarding.length]).toEqual([2, 2]);
    expect(vxlan.plan(direct, network, local).tunnels.length).toBe(2);
  });

  test("DirectRouting needs both ends to see one link", () => {
    const narrow: Lease = { ...lease("vxlan", 3, data(3)), underlays: [parsePrefix("192.168.0.4/32")] };
    const wide: Lease = { ...narrow, underlays: [parsePrefix("192.168.0.0/24")] };
    const device = (peer: Lease) =>
      vxlan.peerPlanner({ ...config, directRouting: true }, onlyFamily(network, 4), local)(peer).routes[0]?.device;
    expect(device(narrow)).toBe("flannel.1");
    expect(device(wide)).toBe("eth0");
  });

  test("another VNI is the peer's problem", () => {
    const otherVni: Lease = { ...far(5), backendData: { 4: { VNI: 9, VtepMAC: macOf(5) } } };
    const plan = vxlan.peerPlanner(config, onlyFamily(network, 4), local)(otherVni);
    expect(plan.routes).toEqual([]);
    expect(plan.problems.map((problem) => problem.message)).toEqual(["node node-005 uses VNI 9, this node VNI 1"]);
  });

  test("Backend.MTU is the underlay's, as in Flannel; more than the underlay carries is cut and said", () => {
    const mtuOf = (mtu: number) => vxlan.plan({ ...config, mtu }, onlyFamily(network, 4), local);
    expect(mtuOf(1400).tunnels[0]?.mtu).toBe(1350);
    expect(mtuOf(1400).problems).toEqual([]);
    expect(mtuOf(9000).tunnels[0]?.mtu).toBe(1450);
    expect(mtuOf(9000).problems[0]?.message).toContain("9000");
  });

  test("an underlay too small for IPv6 costs IPv6 only", () => {
    const small: LocalNode = { ...local, underlay: { ...local.underlay, mtu: 1300 } };
    const plan = vxlan.plan(config, network, small);
    expect(plan.tunnels.map((tunnel) => tunnel.name)).toEqual(["flannel.1"]);
    expect(plan.problems.map((problem) => problem.remedy)).toEqual(["raise the MTU of eth0 to at least 1350"]);
  });

  test("no address of a family: that family is missing, and said", () => {
    const { ipv6: _, ...underlay } = local.underlay;
    const plan = vxlan.plan(config, network, { ...local, underlay });
    expect(plan.tunnels.map((tunnel) => tunnel.name)).toEqual(["flannel.1"]);
    expect(plan.problems.length).toBe(1);
    expect(plan.problems[0]?.message).toContain("IPv6");
  });

  test("checksum offload: off on vmxnet3 alone, and as the administrator says anywhere", () => {
    const offload = (change: Partial<LocalNode>, driver?: string) =>
      vxlan.plan(config, onlyFamily(network, 4), {
        ...local,
        ...change,
        underlay: { ...local.underlay, ...(driver && { driver }) },
      }).tunnels[0]?.txChecksumOffload;
    expect(offload({}, "mlx5_core")).toBe(true);
    expect(offload({}, "vmxnet3")).toBe(false);
    expect(offload({ txChecksumOffload: true }, "vmxnet3")).toBe(true);
    expect(offload({ txChecksumOffload: false })).toBe(false);
  });

  test("names fit the kernel for every VNI", () => {
    for (const vni of [1, 9999, 10_000, 9_999_999, 10_000_000, 16_777_215]) {
      expect(deviceName({ vni }, 4).length).toBeLessThanOrEqual(15);
      expect(deviceName({ vni }, 6).length).toBeLessThanOrEqual(15);
      expect(deviceName({ vni }, 4)).not.toBe(deviceName({ vni }, 6));
      expect(deviceName({ vni, variant: "b" }, 6).length).toBeLessThanOrEqual(15);
      expect(deviceName({ vni, variant: "b" }, 4)).not.toBe(deviceName({ vni }, 4));
    }
  });

  test("BackendData from outside is checked", () => {
    for (const bad of [undefined, null, 5, "x", {}, { VtepMAC: 5 }, { VtepMAC: "01:00:00:00:00:01" }]) {
      expect(typeof readVxlanData(bad)).toBe("string");
    }
    expect(typeof readVxlanData({ VNI: "1", VtepMAC: macOf(1) })).toBe("string");
    expect(readVxlanData({ VtepMAC: "0E:00:00:00:00:01" })).toEqual({ VtepMAC: macOf(1) });
  });
});
