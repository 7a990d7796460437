import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { killNodeCgroup, labCgroup, makeNodeCgroup, nodeCgroup, removeCgroups } from "../../lab/kubernetes/cgroups.ts";

const isOneHierarchy = existsSync("/sys/fs/cgroup/cgroup.procs");
const pids = isOneHierarchy ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";

test("a node's cgroup kills what is in it, and goes", async () => {
  const lab = `/tmp/twill-cgroup-test-${process.pid}`;
  try {
    makeNodeCgroup(lab, "node1");
    const inner = join(pids, nodeCgroup(lab, "node1"));
    const child = Bun.spawn(["sh", "-c", `mkdir ${inner}/pod && echo $$ >${inner}/pod/cgroup.procs && exec sleep 60`]);
    const deadline = performance.now() + 10_000;
    while (!existsSync(join(inner, "pod")) || (await Bun.file(join(inner, "pod/cgroup.procs")).text()) === "") {
      if (performance.now() > deadline) throw new Error("the process did not enter its cgroup");
      await Bun.sleep(10);
    }
    await killNodeCgroup(lab, "node1");
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    await removeCgroups(lab, "node1");
    expect(existsSync(inner)).toBe(false);
    expect(existsSync(join(pids, labCgroup(lab)))).toBe(true);
  } finally {
    await removeCgroups(lab);
  }
  expect(existsSync(join(pids, labCgroup(lab)))).toBe(false);
});
