import { expect, onTestFinished, test } from "bun:test";
import { join } from "node:path";
import { LauncherFolder } from "../../cni/launcher/launcher.fixture.ts";
import { parsed, testNode, testPod } from "./test-node.fixture.ts";

/** kill -9 of the agent at kernel calls of DELs that came at once and so lose their devices together. */
const program = `#!/bin/sh\nexec ${process.execPath} ${join(import.meta.dir, "../../cni/main.ts")} "$@"\n`;
const step = 5;

test("DELs of several pods, killed at any kernel call, are completed from the queue by the restart", async () => {
  const node = testNode();
  const launcher = new LauncherFolder(process.arch === "arm64" ? "arm64" : "x64", program);
  onTestFinished(() => launcher.remove());
  const pods = Array.from({ length: 4 }, (_, index) => ({ id: `c${index}`, pod: testPod() }));
  let killAt = 0;
  for (; killAt < 1000; killAt += step) {
    await node.start();
    for (const { id, pod } of pods) parsed(node.cni("ADD", id, pod));
    await node.stop();
    await node.start({ killAt });
    const ended = await Promise.all(
      pods.map(({ id, pod }) => launcher.run(node.variables("DEL", id, pod), node.config())),
    );
    expect(ended).toEqual(pods.map(() => ({ status: 0, stdout: "", stderr: "" })));
    const queued = node.pending();
    await node.stop();
    await node.start();
    expect([killAt, node.report().endpoints, node.leftovers(), node.pending()]).toEqual([killAt, [], [], 0]);
    for (const { pod } of pods) expect(pod.rtnl.link("eth0")).toBeUndefined();
    await node.stop();
    if (queued === 0) break;
  }
  expect(killAt).toBeGreaterThan(2 * step);
}, 240_000);
