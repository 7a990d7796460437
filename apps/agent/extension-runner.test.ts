import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import type { ExtensionCommand, ExtensionPeer } from "../../src/model/node-state.ts";
import { ExtensionRunner } from "./extension-runner.ts";

async function withJournal(
  work: (run: (text: string) => ExtensionCommand, read: () => string[]) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "twill-extension-"));
  const file = join(folder, "journal");
  const run = (shell: string): ExtensionCommand => ({
    shell,
    environment: { JOURNAL: file, SUBNET: "10.244.3.0/24" },
    stdin: "data\n",
  });
  try {
    await work(run, () => readFileSync(file, "utf8").trim().split("\n"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("commands run once a change, in order, with environment and input", async () => {
  await withJournal(async (run, read) => {
    const runner = new ExtensionRunner(silentLog, () => {});
    const peer = (name: string, word: string): ExtensionPeer => ({
      peer: name,
      add: run(`echo ${word} ${name} $SUBNET $(cat) >>"$JOURNAL"`),
      remove: run(`echo remove ${name} >>"$JOURNAL"`),
    });
    const postStartup = run('echo post >>"$JOURNAL"');
    runner.update({ postStartup, peers: [peer("n1", "add"), peer("n2", "add")] });
    runner.update({ postStartup, peers: [peer("n1", "add"), peer("n2", "change")] });
    runner.update({ postStartup, peers: [peer("n2", "change")] });
    await runner.idle();
    expect(read()).toEqual([
      "post",
      "add n1 10.244.3.0/24 data",
      "add n2 10.244.3.0/24 data",
      "change n2 10.244.3.0/24 data",
      "remove n1",
    ]);
    expect(runner.preStartup("echo ' 0e:01 '")).toBeUndefined();
    await runner.idle();
    expect(runner.preStartup("echo ' 0e:01 '")).toBe("0e:01");
  });
});

test("a failure is a problem with the command's own words, and goes when it works", async () => {
  await withJournal(async (run) => {
    let changes = 0;
    const runner = new ExtensionRunner(silentLog, () => changes++);
    runner.update({ peers: [{ peer: "n1", add: run("echo no such device >&2; exit 3") }] });
    await runner.idle();
    expect(runner.problems).toMatchObject([
      { subject: "SubnetAddCommand for n1", message: "exit status 3: no such device" },
    ]);
    runner.update({ peers: [{ peer: "n1", add: run("true") }] });
    await runner.idle();
    expect([runner.problems.length, changes]).toEqual([0, 2]);
  });
});
