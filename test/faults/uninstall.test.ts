import { expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";

/** All of a node that Twill could have touched: kernel objects, settings, files with their contents. */
const everything = `
  ip -o -d link; ip -o addr; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all
  ip neigh show nud permanent; ip neigh show proxy; ip -6 neigh show proxy; bridge fdb; bridge vlan; nft list ruleset
  tc qdisc show
  grep -r . /proc/sys/net 2>/dev/null | grep -v nf_conntrack_count | sort
  for folder in /var/lib/twill /var/lib/cni /etc/cni /run/twill /run/flannel /opt/cni /etc/hosts /mine; do
    find $folder -printf '%p %y %m %u %l\\n' 2>/dev/null | sort
    find $folder -type f -exec sha256sum {} + 2>/dev/null | grep -v /etc/hosts | sort
  done`;

const difference = (before: readonly string[], after: readonly string[]): string[] => [
  ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
  ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
];

const dual = { Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:244::/56" };
const nodes = ["node1", "node2"] as const;

interface Case {
  readonly what: string;
  readonly config: unknown;
  readonly flags?: readonly string[];
  readonly end: "stop" | "kill";
  readonly keepPods?: boolean;
}
const cases: readonly Case[] = [
  { what: "vxlan, dual stack", config: { ...dual, Backend: { Type: "vxlan", DirectRouting: true } }, end: "stop" },
  { what: "host-gw, dual stack, agent killed", config: { ...dual, Backend: { Type: "host-gw" } }, end: "kill" },
  {
    what: "bridge attachment, with pods, agent killed",
    config: { Network: "10.244.0.0/16", Backend: { Type: "vxlan" } },
    flags: ["--attachment=bridge"],
    end: "kill",
    keepPods: true,
  },
];

for (const { what, config, flags, end, keepPods = false } of cases) {
  test(`uninstalled (${what}), a node is byte for byte as before`, async () => {
    await using lab = await FaultLab.up({ nodes: 2, subnets: 1, config, bare: true, agentFlags: flags ?? [] });
    await lab.on("node1", "echo theirs > /etc/cni/net.d/99-theirs.conflist; echo theirs > /var/lib/twill/theirs");
    await Bun.sleep(2000); // until the kernel has done with the link-local addresses of new devices
    const look = async () => (await lab.on("node1", everything)).split("\n");
    const before = await look();
    expect(before.length).toBeGreaterThan(500);
    await lab.storeConfig(config);
    for (const node of nodes) await lab.agent(node, "start");
    await until(async () => (await lab.status("node1")).ready, "the agent is ready");
    for (const node of nodes) await lab.call("addPod", { node, pod: "pod-a" });
    expect(await lab.brokenPaths()).toEqual([]);
    expect((await lab.attempt("node1", "twill uninstall --force")).stderr).toContain("stop twill-agent first");

    if (!keepPods) await lab.call("deletePod", { node: "node1", pod: "pod-a" });
    await lab.agent("node1", end);
    if (keepPods) expect((await lab.attempt("node1", "twill uninstall")).stderr).toContain("--force");
    const { status, stderr } = await lab.attempt("node1", `twill uninstall${keepPods ? " --force" : ""}`);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(difference(before, await look())).toEqual([]);
    // A second time there is nothing to do.
    expect(await lab.on("node1", "twill uninstall")).toBe("");
  }, 240_000);
}

test("folders that the agent made are gone too, and those that it shares stay", async () => {
  await using lab = await FaultLab.up({ nodes: 1, subnets: 1, bare: true });
  await lab.on("node1", "mount -t tmpfs tmpfs /mnt; mkdir /mnt/etc; echo theirs > /mnt/etc/theirs");
  const list = "find /mnt -printf '%p %y %m\\n' | sort";
  const before = await lab.on("node1", list);
  await lab.storeConfig({ Network: "10.244.0.0/16", Backend: { Type: "vxlan" } });
  const where =
    "--state-dir=/mnt/a/state --run-dir=/mnt/a/run --subnet-file=/mnt/b/subnet.env --cni-conf-dir=/mnt/etc/cni/net.d";
  const stop = await lab.listen(
    "node1",
    `twill-agent --datastore ${lab.datastore} --iface eth0 --node-name node1 ${where} >/mnt/etc/theirs 2>&1`,
  );
  await until(
    async () => (await lab.attempt("node1", "ls /mnt/etc/cni/net.d/10-twill.conflist")).status === 0,
    "it is ready",
  );
  await stop();
  await until(
    async () => (await lab.attempt("node1", `twill uninstall ${where}`)).status === 0,
    "it is uninstalled",
    5000,
  );
  expect(await lab.on("node1", list)).toBe(before);
}, 240_000);
