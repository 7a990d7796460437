import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import type { ExtensionCommand, OwnState, PeerCommands, PeerState } from "../../src/model/node-state.ts";
import { ExtensionRunner } from "./extension-runner.ts";

const own = (postStartup?: ExtensionCommand): OwnState => ({
  ...{ node: "n0", tunnels: [], podMtu: 1500, subnets: [], sysctls: [], problems: [] },
  commands: postStartup === undefined ? {} : { postStartup },
});

const part = (commands: PeerCommands): PeerState => ({
  ...{ routes: [], neighbours: [], forwarding: [], problems: [] },
  commands,
});

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
    const peer = (name: string, word: string): [string, PeerState] => {
      const add = run(`echo ${word} ${name} $SUBNET $(cat) >>"$JOURNAL"`);
      return [name, part({ add, remove: run(`echo remove ${name} >>"$JOURNAL"`) })];
    };
    const whole = own(run('echo post >>"$JOURNAL"'));
    runner.change({ own: whole, peers: new Map([peer("n1", "add"), peer("n2", "add")]) });
    runner.change({ peers: new Map([peer("n2", "change")]) });
    runner.change({ own: whole, peers: new Map([peer("n2", "change")]) });
    runner.change({ peers: new Map([peer("n3", "add"), ["n2", undefined]]) });
    await runner.idle();
    expect(read()).toEqual([
      "post",
      "add n1 10.244.3.0/24 data",
      "add n2 10.244.3.0/24 data",
      "change n2 10.244.3.0/24 data",
      "remove n1",
      "remove n2",
      "add n3 10.244.3.0/24 data",
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
    runner.change({ own: own(), peers: new Map([["n1", part({ add: run("echo no such device >&2; exit 3") })]]) });
    await runner.idle();
    expect(runner.problems).toMatchObject([
      { subject: "SubnetAddCommand for n1", message: "exit status 3: no such device" },
    ]);
    runner.change({ peers: new Map([["n1", part({ add: run("true") })]]) });
    await runner.idle();
    expect([runner.problems.length, changes]).toEqual([0, 2]);
  });
});

test("a failed command is run again at the next change of any peer, unless its peer is gone", async () => {
  await withJournal(async (run, read) => {
    const runner = new ExtensionRunner(silentLog, () => {});
    const failing = (name: string) => part({ add: run(`echo ${name} >>"$JOURNAL"; exit 1`) });
    runner.change({
      own: own(),
      peers: new Map([
        ["n1", failing("n1")],
        ["n2", failing("n2")],
      ]),
    });
    await runner.idle();
    runner.change({ peers: new Map([["n2", undefined]]) });
    await runner.idle();
    expect(read()).toEqual(["n1", "n2", "n1"]);
  });
});
