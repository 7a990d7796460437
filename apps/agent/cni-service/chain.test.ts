import { expect, onTestFinished, test } from "bun:test";
import type { TestNetns } from "../../../test/support/netns.ts";
import { Chain } from "./libcni.fixture.ts";
import { testNode, testPod } from "./test-node.fixture.ts";

/** Debian's containernetworking-plugins 1.1.1 after ours. */
const own = { type: "twill-cni", capabilities: { ips: true, mac: true } };

/** Answers "hello" on TCP port 80 of the pod. */
async function serveHello(pod: TestNetns): Promise<void> {
  const program = `Bun.listen({ hostname: "0.0.0.0", port: 80, socket: { open: (s) => { s.end("hello\\n"); }, data() {} } }); console.log("up")`;
  const child = pod.enter(() => Bun.spawn([process.execPath, "-e", program], { stdio: ["ignore", "pipe", "inherit"] }));
  onTestFinished(() => child.kill());
  await child.stdout.getReader().read();
}

const fetchHello = (from: TestNetns, address: string, port: number): string =>
  from
    .run("timeout", "5", "bash", "-c", `exec 3<>/dev/tcp/${address}/${port} && read -r line <&3 && echo "$line"`)
    .trim();

test("portmap: a host port leads to the pod, and is gone with it", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
  const chain = new Chain(node, [
    own,
    { type: "portmap", capabilities: { portMappings: true }, runtimeConfig, snat: true },
  ]);
  chain.add("c1", pod);
  await serveHello(pod);
  expect(fetchHello(node.netns, "10.244.1.2", 80)).toBe("hello");
  for (const address of ["192.0.2.1", "127.0.0.1"]) expect(fetchHello(node.netns, address, 8080)).toBe("hello");
  chain.check("c1", pod);
  chain.delete("c1", pod);
  expect(() => fetchHello(node.netns, "192.0.2.1", 8080)).toThrow();
  expect(node.leftovers()).toEqual([]);
});

test("tuning: sysctls and MTU of the pod", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  // Not its `mac`: it takes the interface down for that, and every plugin's routes go with it. Ours has the capability.
  const tuning = { type: "tuning", sysctl: { "net.ipv4.ip_default_ttl": "77" }, mtu: 1400 };
  const chain = new Chain(node, [own, tuning]);
  chain.add("c1", pod);
  expect(pod.run("cat", "/proc/sys/net/ipv4/ip_default_ttl").trim()).toBe("77");
  expect(pod.rtnl.link("eth0")?.mtu).toBe(1400);
  pod.run("ping", "-c", "1", "-W", "2", "192.0.2.1");
  node.netns.run("ping", "-c", "1", "-W", "2", "10.244.1.2");
  chain.check("c1", pod);
  chain.delete("c1", pod);
});

test("bandwidth: finds the host's end of the pod and limits it", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  const limits = { ingressRate: 10_000_000, ingressBurst: 1_000_000, egressRate: 10_000_000, egressBurst: 1_000_000 };
  const chain = new Chain(node, [own, { type: "bandwidth", ...limits }]);
  const [host] = chain.add("c1", pod).interfaces;
  expect(node.netns.run("tc", "qdisc", "show", "dev", host?.name ?? "")).toContain("tbf");
  pod.run("ping", "-c", "1", "-W", "2", "192.0.2.1");
  chain.check("c1", pod);
  chain.delete("c1", pod);
  expect(node.leftovers()).toEqual([]);
});

test("all three after ours, with the loopback plugin before, on a bridge", async () => {
  const node = testNode();
  await node.start();
  const pod = testPod();
  const chain = new Chain(node, [
    { ...own, attachment: "bridge", hairpinMode: true },
    { type: "portmap", runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] } },
    { type: "tuning", sysctl: { "net.ipv4.ip_default_ttl": "77" } },
    {
      type: "bandwidth",
      ingressRate: 10_000_000,
      ingressBurst: 1_000_000,
      egressRate: 10_000_000,
      egressBurst: 1_000_000,
    },
  ]);
  new Chain(node, [{ type: "loopback" }]).add("c1", pod);
  chain.add("c1", pod);
  await serveHello(pod);
  expect(fetchHello(node.netns, "192.0.2.1", 8080)).toBe("hello");
  chain.check("c1", pod);
  chain.delete("c1", pod);
  expect(node.leftovers()).toEqual([]);
});
