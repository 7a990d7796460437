import { expect, onTestFinished, test } from "bun:test";
import { join } from "node:path";
import type { TestNetns } from "../../../test/support/netns.ts";
import { failure, parsed, type TestNode, testNode, testPod } from "../../agent/cni-service/test-node.fixture.ts";
import { type Architecture, architectures, type Ended, LauncherFolder } from "./launcher.fixture.ts";

/** The launcher with the CNI service of a real agent, on a node in a namespace, and the real program beside it. */
const root = join(import.meta.dir, "../../..");
const realProgram = `#!/bin/sh\nexec ${process.execPath} ${root}/apps/cni/main.ts "$@"\n`;

async function launcherOn(node: TestNode, architecture: Architecture, program?: string) {
  const folder = new LauncherFolder(architecture, program);
  onTestFinished(() => folder.remove());
  return async (command: string, id: string, pod: TestNetns | undefined, more: object = {}, config?: string) => {
    const ended = await folder.run(
      { ...node.variables(command, id, pod), ...more },
      config ?? node.config({ config: command === "GC" ? { "cni.dev/valid-attachments": [] } : {} }),
    );
    expect(ended.stderr).toBe("");
    return ended;
  };
}

const answer = ({ status, stdout }: Ended) => ({ status: status === 0 ? (0 as const) : (1 as const), stdout });

for (const architecture of architectures) {
  const name = (what: string) => `${architecture}: ${what}`;

  test(name("every command does what the whole plugin does, without starting it"), async () => {
    const node = testNode();
    await node.start();
    const call = await launcherOn(node, architecture);
    const [pod, other] = [testPod(), testPod()];
    const theirs = parsed(node.cni("ADD", "c0", other));
    const added = await call("ADD", "c1", pod);
    const ours = parsed(answer(added));
    expect(Object.keys(ours)).toEqual(Object.keys(theirs));
    expect(ours.ips).toHaveLength(theirs.ips.length);
    expect(ours.interfaces[1]?.sandbox).toBe(`/proc/${process.pid}/fd/${pod.fd}`);
    expect(pod.rtnl.link("eth0")?.mac as string).toBe(ours.interfaces[1]?.mac ?? "");
    expect(node.report().endpoints).toHaveLength(2);

    const previous = node.config({ config: { prevResult: ours } });
    expect(await call("CHECK", "c1", pod, {}, previous)).toMatchObject({ status: 0, stdout: "" });
    expect(await call("STATUS", "", undefined)).toMatchObject({ status: 0, stdout: "" });
    // Errors are the agent's: a second ADD, one without a namespace, one whose namespace is none.
    expect(failure(answer(await call("ADD", "c1", pod))).code).toBe(101);
    expect(failure(answer(await call("ADD", "c2", undefined))).code).toBe(4);
    expect(failure(answer(await call("ADD", "c2", undefined, { CNI_NETNS: "/nowhere" }))).code).toBe(4);
    expect(failure(answer(await call("ADD", "c2", undefined, { CNI_NETNS: "/etc/passwd" }))).code).toBe(4);
    expect(failure(answer(await call("ADD", "c2", pod, {}, `{"socket":"${node.socket}",`))).code).toBe(6);

    expect(await call("DEL", "c1", pod)).toMatchObject({ status: 0, stdout: "" });
    expect(await call("DEL", "c1", undefined, { CNI_NETNS: "/gone" })).toMatchObject({ status: 0, stdout: "" });
    expect(await call("GC", "", undefined)).toMatchObject({ status: 0, stdout: "" });
    expect(node.report().endpoints).toEqual([]);
    expect(node.leftovers()).toEqual([]);
    expect(node.pending()).toBe(0);
  }, 60_000);

  test(name("with the agent away: the whole plugin's answers, and a DEL is queued"), async () => {
    const node = testNode();
    const call = await launcherOn(node, architecture, realProgram);
    expect(failure(answer(await call("ADD", "c1", testPod()))).code).toBe(11);
    expect(JSON.parse((await call("VERSION", "", undefined)).stdout).supportedVersions).toContain("1.1.0");
    expect((await call("DEL", "c1", undefined)).status).toBe(0);
    expect(node.pending()).toBe(1);
    await node.start();
    expect(node.pending()).toBe(0);
    // A path that the launcher cannot read goes the long way, and is carried out.
    const escaped = node.config().replaceAll("/", "\\/");
    expect((await call("ADD", "c1", testPod(), {}, escaped)).status).toBe(0);
    expect(node.report().endpoints).toHaveLength(1);
  }, 60_000);

  test(name("an agent that is killed in the middle of a call is not asked a second time"), async () => {
    const node = testNode();
    const call = await launcherOn(node, architecture, realProgram);
    const pod = testPod();
    for (const killAt of [1, 12]) {
      await node.start({ killAt });
      const error = failure(answer(await call("ADD", `c${killAt}`, pod)));
      expect([error.code, error.msg]).toEqual([11, expect.stringContaining("hung up without an answer")]);
      await node.gone();
      await node.start();
      expect((await call("ADD", `c${killAt}`, pod)).status).toBe(0);
      await node.stop();

      await node.start({ killAt });
      expect((await call("DEL", `c${killAt}`, pod)).status).toBe(0);
      expect(node.pending()).toBe(1);
      await node.gone();
      await node.start();
      expect([node.pending(), node.report().endpoints.length, node.leftovers()]).toEqual([0, 0, []]);
      await node.stop();
    }
  }, 120_000);
}
