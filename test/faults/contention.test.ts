import { expect, test } from "bun:test";
import { FaultLab, until } from "./fault-lab.fixture.ts";

const strange = "02:00:00:00:00:42";
/** As a rule of udev or a .link file of systemd: whenever the device appears, and only then. */
const onceWhenItAppears = `sh -c 'ip -o monitor link | while read event; do
  case "$event" in
    *Deleted*flannel.1:*) done= ;;
    *flannel.1:*) [ "$done" ] || ip link set flannel.1 address ${strange}; done=1 ;;
  esac
done'`;
const again = (what: string) => `sh -c 'while :; do ${what}; sleep 0.005; done'`;
const setMac = `[ $(cat /sys/class/net/flannel.1/address) = ${strange} ] || ip link set flannel.1 address ${strange}`;
const noForwarding = "echo 0 > /proc/sys/net/ipv4/ip_forward";

test("others change the tunnel's MAC: once, the agent wins; for ever, it says so and does not run hot", async () => {
  await using lab = await FaultLab.up({ nodes: 2, subnets: 1, pods: 1, config: { Network: "10.244.0.0/16" } });
  const mac = async () => (await lab.attempt("node1", "cat /sys/class/net/flannel.1/address")).stdout.trim();
  const own = await mac();

  const stopRule = await lab.listen("node1", onceWhenItAppears);
  const before = await lab.kernelWrites("node1");
  await lab.on("node1", "ip link del flannel.1");
  await Bun.sleep(500);
  await until(async () => (await mac()) === own, "the tunnel has its own address again");
  expect((await lab.kernelWrites("node1")) - before).toBeLessThan(20);
  expect(await lab.brokenPaths()).toEqual([]);
  void stopRule();
  for (const [what, command] of [
    ["MAC", again(setMac)],
    ["forwarding", again(noForwarding)],
  ] as const) {
    const stop = await lab.listen("node1", command);
    await Bun.sleep(1000);
    const [writes, cpu] = [await lab.kernelWrites("node1"), await cpuSeconds(lab)];
    await Bun.sleep(3000);
    const [more, burnt] = [(await lab.kernelWrites("node1")) - writes, (await cpuSeconds(lab)) - cpu];
    const { problems } = await lab.status("node1");
    void stop();
    console.log(
      `${what}: ${more} writes and ${Math.round(burnt * 1000)} ms of CPU in 3 s; ${JSON.stringify(problems)}`,
    );
    expect(more).toBeLessThan(60);
    expect(problems.map(({ message }) => message).join()).toContain("somebody else undoes it");
    await until(async () => (await lab.status("node1")).problems.length === 0, "all is well once it is over", 40_000);
    expect(await mac()).toBe(own);
    expect(await lab.brokenPaths()).toEqual([]);
  }
}, 240_000);

const cpuSeconds = async (lab: FaultLab): Promise<number> =>
  (await lab.metric("node1", "twill_process_cpu_seconds_total")).get("") ?? 0;
