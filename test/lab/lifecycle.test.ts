import { expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { isAlive, killProcess } from "../../lab/process.ts";
import { pick, seededRandom } from "../../src/base/random.ts";
import { isRealRoot } from "../support/privilege.ts";
import { hostNetwork, TestLab } from "./support.ts";

/** How labs come, most of them bare machines, and that nothing of them stays. */
const bare = ["up", "--bare", "--nodes", "3"];

/** Waits for what a killed creator's lab does by itself: the lifeline breaks, the lab ends. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await Bun.sleep(10);
  }
}

test("machines reach each other through the router; this machine's own network is not touched; down leaves nothing", async () => {
  await using lab = new TestLab();
  const before = hostNetwork();
  const picture = await lab.do(...bare);
  for (const part of ["router", "lan1  192.168.1.0/24", "node1 192.168.1.11", "node3 192.168.2.13"])
    expect(picture).toContain(part);
  expect(await lab.do("exec", "node1", "--", "hostname")).toBe("node1\n");
  const ping = async (from: string, to: string) => (await lab.run("exec", from, "--", "ping", "-c1", "-W2", to)).status;
  expect(await ping("node1", "node2")).toBe(0);
  expect(await ping("node1", "node3")).toBe(0);
  expect(await ping("node3", "outside")).toBe(0);
  expect(hostNetwork()).toBe(before);

  await lab.do("link", "down", "node2");
  expect(await ping("node1", "node2")).not.toBe(0);
  expect(await lab.do("status")).toContain("! link down");
  await lab.do("link", "up", "node2");
  expect(await ping("node1", "node2")).toBe(0);

  const namespaces = lab.namespaces();
  expect(namespaces.size).toBeGreaterThan(8);
  await lab.do("down");
  expect(lab.traces(namespaces)).toEqual([]);
  expect(hostNetwork()).toBe(before);
  expect(await lab.do("down")).toBe("there is no lab\n");
}, 240_000);

test("a node's files are its own; the exit status of a command is passed on", async () => {
  await using lab = new TestLab();
  await lab.do(...bare);
  await lab.do("exec", "node1", "--", "touch", "/var/lib/twill/mine", "/run/twill/mine", "/etc/cni/net.d/mine");
  expect((await lab.run("exec", "node2", "--", "ls", "/var/lib/twill/mine")).status).toBe(2);
  expect(existsSync("/var/lib/twill/mine")).toBe(false);
  expect((await lab.run("exec", "node1", "--", "sh", "-c", "exit 42")).status).toBe(42);
}, 240_000);

test("a power cut kills what runs on a node and empties /run; the disk and the addresses stay", async () => {
  await using lab = new TestLab();
  await lab.do(...bare);
  await lab.do("exec", "node1", "--", "touch", "/var/lib/twill/mine", "/run/twill/mine");
  const sleeper = lab.start("exec", "node1", "--", "sleep", "1000");
  await until(() => lab.processes().some(({ pid }) => commandOf(pid) === "sleep 1000"), "sleep runs");
  const bootId = readFileSync(`${lab.directory}/nodes/node1/boot-id`, "utf8");
  await lab.do("node", "stop", "node1");
  expect(await sleeper.exited).not.toBe(0);
  expect((await lab.run("exec", "node1", "--", "true")).stderr).toContain('run "twill lab node start node1"');
  expect(await lab.do("status")).toContain("! stopped");
  await lab.do("node", "start", "node1");
  expect(readFileSync(`${lab.directory}/nodes/node1/boot-id`, "utf8")).not.toBe(bootId);
  expect(await lab.do("exec", "node1", "--", "ls", "/var/lib/twill", "/run/twill")).toBe(
    "/run/twill:\n\n/var/lib/twill:\nmine\n",
  );
  expect((await lab.run("exec", "node1", "--", "ping", "-c1", "-W2", "node3")).status).toBe(0);
  expect(await lab.do("node", "add", "extra", "--subnet", "1")).toBe("extra\n");
  expect((await lab.run("exec", "extra", "--", "ping", "-c1", "-W2", "node3")).status).toBe(0);
  await lab.do("node", "del", "extra");
  expect(existsSync(`${lab.directory}/nodes/extra`)).toBe(false);
}, 240_000);

test("a second up says that a lab runs, and with --replace takes its place", async () => {
  await using lab = new TestLab();
  await lab.do(...bare);
  const first = lab.processes();
  const second = await lab.run(...bare);
  expect(second.status).toBe(1);
  expect(second.stderr).toContain("a lab is running");
  await lab.do(...bare, "--replace");
  expect(first.filter(isAlive)).toEqual([]);
  await lab.do("status");
}, 240_000);

test("a wrong --config, too many subnets and commands without a lab say what to do", async () => {
  await using lab = new TestLab();
  await Bun.write(`${lab.parent}/net-conf.json`, '{ "Network": "10.1.0.0" }');
  const config = await lab.run("up", "--config", `${lab.parent}/net-conf.json`);
  expect(config.status).toBe(1);
  expect(config.stderr).toContain("net-conf.json");
  expect(config.stderr).toContain("mask");
  expect(existsSync(lab.directory)).toBe(false);
  expect((await lab.run("status")).stderr).toContain('start one with "twill lab up"');
}, 240_000);

test("ctrl-C at any moment of up takes everything away", async () => {
  await using lab = new TestLab();
  for (const delay of [0, 20, 50, 90, 140, 200]) {
    const creating = lab.start(...bare);
    await Bun.sleep(delay);
    const namespaces = lab.namespaces();
    creating.kill("SIGINT");
    const status = await creating.exited;
    // Before the handler is there, the shell's default holds; after the lab is up, ctrl-C is none of its business.
    if (status === 0) await lab.do("down");
    expect(lab.traces(namespaces)).toEqual([]);
  }
}, 240_000);

test("kill -9 of anybody at any moment: the next up or down cleans", async () => {
  await using lab = new TestLab();
  const seed = (Math.random() * 2 ** 31) | 0;
  const random = seededRandom(seed);
  for (let round = 0; round < 20; round++) {
    const whole = round % 2 === 1; // with agents and pods, at work when it hits them
    const creating = lab.start(...(whole ? ["up", "--nodes", "2", "--pods", "1"] : bare));
    await Bun.sleep(random.below(whole ? 1200 : 250));
    const namespaces = lab.namespaces();
    const members = lab.processes();
    if (random.below(2) === 0 || members.length === 0) creating.kill("SIGKILL");
    else killProcess(pick(random, members));
    await creating.exited;
    if (random.below(2) === 0) await lab.run("down");
    else {
      await lab.do(...bare, "--replace");
      await lab.do("down");
    }
    expect({ seed, round, traces: lab.traces(namespaces) }).toEqual({ seed, round, traces: [] });
  }
}, 480_000);

test("a creator that is killed takes its lab along even without a down", async () => {
  await using lab = new TestLab();
  const creating = lab.start(...bare);
  await until(() => lab.processes().length > 2, "the lab is being made");
  const members = lab.processes();
  creating.kill("SIGKILL");
  await creating.exited;
  await until(() => !members.some(isAlive), "the lab ends");
}, 240_000);

// Needs the machine's root, to become nobody; whoever runs the tests without root has shown it by running them.
test.if(isRealRoot())(
  "without root: in a user namespace",
  async () => {
    await using lab = new TestLab(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    chmodSync(lab.parent, 0o777);
    await lab.do(...bare);
    expect((await lab.run("exec", "node1", "--", "ping", "-c1", "-W2", "node3")).status).toBe(0);
    expect(await lab.do("exec", "node1", "--", "id", "-u")).toBe("0\n");
    const namespaces = lab.namespaces();
    await lab.do("down");
    expect(lab.traces(namespaces)).toEqual([]);
  },
  60_000,
);

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
};
