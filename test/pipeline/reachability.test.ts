import { expect, test } from "bun:test";
import type { Problem } from "../../src/base/problem.ts";
import type { BackendConfig, VxlanConfig } from "../../src/model/network.ts";
import { problemsOf } from "../../src/model/node-state.ts";
import {
  cluster,
  type Families,
  podAddress,
  reconcilerFor,
  type TestCluster,
  type TestNode,
  tunnelled,
} from "./cluster.fixture.ts";

const vxlan: VxlanConfig = { type: "vxlan", vni: 1, port: 8472, gbp: false, learning: false, directRouting: false };
const direct: VxlanConfig = { ...vxlan, directRouting: true };
const hostgw: BackendConfig = { type: "host-gw" };

const familiesOf = (families: Families): readonly (4 | 6)[] =>
  families === "dual" ? [4, 6] : families === "v4" ? [4] : [6];

/** Every pod pings every other, at the full size of a pod's packet. @returns how many packets went through tunnels. */
function pingAll(subject: TestCluster, families: Families, mtu: number): Readonly<Record<string, number>> {
  const paths: Record<string, number> = {};
  for (const from of subject.nodes) {
    for (const to of subject.nodes) {
      if (from === to) continue;
      const before = tunnelled(from);
      for (const family of familiesOf(families)) {
        const headers = family === 4 ? 28 : 48;
        from.pod.run("ping", `-${family}`, "-c1", "-W5", "-Mdo", `-s${mtu - headers}`, podAddress(to.number, family));
      }
      paths[`${from.number}→${to.number}`] = tunnelled(from) - before;
    }
  }
  return paths;
}

const mtuOf = (subject: TestCluster): number => subject.nodes[0]?.state?.own.podMtu ?? 0;
const problemsAt = (node: TestNode | undefined): readonly Problem[] =>
  node?.state === undefined ? [] : problemsOf(node.state);

function expectSettled(subject: TestCluster): void {
  for (const report of subject.settle())
    expect({ ...report, writes: {} }).toEqual({ writes: {}, problems: [], waiting: 0 });
  for (const report of subject.settle()) expect(report.writes).toEqual({});
  for (const node of subject.nodes) expect(problemsAt(node)).toEqual([]);
}

for (const families of ["v4", "v6", "dual"] as const) {
  const count = familiesOf(families).length;

  test(`vxlan, ${families}: pods on different nodes and subnets reach each other through the tunnel, at full MTU`, () => {
    const subject = cluster(vxlan, families);
    expectSettled(subject);
    expect(mtuOf(subject)).toBe(families === "v4" ? 1450 : 1430);
    const paths = pingAll(subject, families, mtuOf(subject));
    expect(new Set(Object.values(paths))).toEqual(new Set([count]));
  });

  test(`vxlan with DirectRouting, ${families}: direct on one wire, by tunnel across`, () => {
    const subject = cluster(direct, families);
    expectSettled(subject);
    const all = count;
    expect(pingAll(subject, families, mtuOf(subject))).toEqual({
      ...{ "1→2": 0, "2→1": 0 },
      ...{ "1→3": all, "3→1": all, "2→3": all, "3→2": all },
    });
  });

  test(`host-gw, ${families}: plain routes, no overhead`, () => {
    const subject = cluster(hostgw, families, 2);
    expectSettled(subject);
    expect(mtuOf(subject)).toBe(1500);
    expect(pingAll(subject, families, 1500)).toEqual({ "1→2": 0, "2→1": 0 });
  });
}

test("host-gw names the node on the other wire, and serves the one on this", () => {
  const subject = cluster(hostgw, "v4");
  subject.settle();
  const [first] = subject.nodes;
  expect(problemsAt(first).map((problem) => problem.subject)).toEqual(["node3"]);
  expect(problemsAt(first)[0]?.message).toContain("192.168.2.3");
  first?.pod.run("ping", "-c1", "-W5", podAddress(2, 4));
});

test("switching all nodes between backends leaves no trace of the one before", () => {
  const subject = cluster(vxlan, "dual", 2);
  expectSettled(subject);
  const traces = () =>
    subject.nodes.map(({ netns }) => ({
      routes:
        netns.run("ip", "-4", "route", "show", "proto", "84") + netns.run("ip", "-6", "route", "show", "proto", "84"),
      devices: netns.run("ip", "-o", "link", "show", "type", "vxlan").replaceAll(/^\d+: |qlen \d+/gm, ""),
      fdb: netns.run("bridge", "fdb").replaceAll(/^(33:33|01:00:5e).*\n/gm, ""),
    }));
  const first = traces();
  for (const config of [hostgw, direct, { type: "alloc" }, { ...vxlan, vni: 9 }, vxlan] as const) {
    subject.configure(config);
    expectSettled(subject);
    if (config.type !== "alloc") pingAll(subject, "dual", 1400);
    if (config.type === "host-gw") expect(traces().every(({ devices }) => devices === "")).toBe(true);
    if (config.type === "alloc") expect(traces().every(({ routes, devices }) => routes + devices === "")).toBe(true);
  }
  expect(traces()).toEqual(first);
});

test("a node's own traffic to a remote pod leaves with the tunnel's address", () => {
  const subject = cluster(vxlan, "v4", 2);
  subject.settle();
  const [first] = subject.nodes;
  expect(first?.netns.run("ip", "route", "get", podAddress(2, 4))).toContain("dev flannel.1 src 10.244.1.0");
  first?.netns.run("ping", "-c1", "-W5", podAddress(2, 4));
});

test("no packet is lost while reconcilers restart, and peers come and go", async () => {
  const subject = cluster(vxlan, "dual");
  subject.settle();
  const [first] = subject.nodes;
  if (first === undefined) throw new Error("no node");
  // The first packet resolves the pods' neighbours.
  pingAll(subject, "dual", 1400);
  const pings = ([4, 6] as const).map((family) =>
    first.pod.enter(() =>
      Bun.spawn(["ping", `-${family}`, "-q", "-i", "0.01", "-c", "150", "-W5", podAddress(3, family)], {
        stdout: "pipe",
      }),
    ),
  );
  for (let round = 0; round < 12; round++) {
    for (const node of subject.nodes) {
      node.reconciler = reconcilerFor(node.netns);
      if (node.state !== undefined) {
        expect(node.reconciler.flush().writes).toEqual({});
      }
    }
    for (const report of subject.settle()) expect(report.writes).toEqual({});
    await Bun.sleep(100);
  }
  for (const ping of pings) {
    expect(await new Response(ping.stdout).text()).toContain(" 0% packet loss");
    await ping.exited;
  }
});

test("no packet is lost when all nodes go from tunnels to direct routes and back", async () => {
  const subject = cluster(vxlan, "dual", 2);
  subject.settle();
  pingAll(subject, "dual", 1400);
  const [first] = subject.nodes;
  if (first === undefined) throw new Error("no node");
  const pings = ([4, 6] as const).map((family) =>
    first.pod.enter(() =>
      Bun.spawn(["ping", `-${family}`, "-q", "-i", "0.01", "-c", "150", "-W5", podAddress(2, family)], {
        stdout: "pipe",
      }),
    ),
  );
  for (let round = 0; round < 10; round++) {
    subject.configure(round % 2 === 0 ? direct : vxlan);
    for (const report of subject.settle()) expect(report.problems).toEqual([]);
    await Bun.sleep(120);
  }
  for (const ping of pings) {
    expect(await new Response(ping.stdout).text()).toContain(" 0% packet loss");
    await ping.exited;
  }
});

test("the underlay's MTU is followed, down and up, and pods' MTU with it", () => {
  const subject = cluster(vxlan, "v4", 2);
  subject.settle();
  for (const mtu of [1400, 1500, 1300]) {
    for (const { netns } of subject.nodes) netns.run("ip", "link", "set", "eth0", "mtu", String(mtu));
    subject.settle();
    expectSettled(subject);
    for (const node of subject.nodes) {
      expect(node.netns.rtnl.link("flannel.1")?.mtu).toBe(mtu - 50);
      expect(node.state?.own.podMtu).toBe(mtu - 50);
    }
    pingAll(subject, "v4", mtu - 50);
  }
});
