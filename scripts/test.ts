/**
 * `npm test`: all tests, or those named: `npm test -- src/ipam test/lab`. Prints `N passed, N failed` last.
 * `npm run test:cluster`: those of test/cluster, which need Go and minutes: real Kubernetes is built for them, once.
 * Tests that touch the kernel make network namespaces of their own, so they need root, or a user namespace in which
 * we are root: without root this re-executes itself under util-linux's unshare.
 */
import { join } from "node:path";
import { mountTmpfs } from "../src/kernel/mount.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import { build, isCurrent, root } from "./build.ts";
import { prepareCluster } from "./cluster/prepare.ts";
import { installPackages } from "./packages.ts";

const wanted = process.argv.slice(2).filter((argument) => argument !== "--cluster");
const cluster = process.argv.includes("--cluster");

installPackages();
// Not for a cluster: in a network namespace of its own nothing can be fetched to build it from.
if (process.getuid?.() !== 0 && !cluster) {
  const inside = Bun.spawnSync(
    [
      "unshare",
      "--user",
      "--map-root-user",
      "--mount",
      "--net",
      process.execPath,
      import.meta.path,
      ...process.argv.slice(2),
    ],
    { stdio: ["inherit", "inherit", "inherit"], env: { ...process.env, TWILL_TEST_INSIDE: "1" } },
  );
  process.exit(inside.exitCode);
}
if (process.env.TWILL_TEST_INSIDE !== undefined) {
  // Debian's CNI plugins keep files in /run, which belongs to the machine's root: in here it is another.
  mountTmpfs("/run");
  // Tests with servers of their own on localhost: a new network namespace has its lo down.
  openRtnl().do({ op: "link.set", index: 1, change: { up: true } });
}
if (!isCurrent()) build();
if (cluster) {
  await prepareCluster((line) => process.stderr.write(`twill: ${line}\n`));
}

const everything = cluster ? ["test/cluster"] : ["src", "apps", "lab", "test", "scripts"];
const started = performance.now();
const child = Bun.spawn(
  [
    process.execPath,
    "test",
    "--timeout",
    "60000",
    ...(cluster ? [] : ["--path-ignore-patterns=test/cluster/**"]),
    ...(wanted.length > 0 ? wanted : everything),
  ],
  {
    cwd: root,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
    env: {
      ...process.env,
      PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
      TWILL_ROOT: root,
      TWILL_DIST: join(root, "dist"),
    },
  },
);

let passed = 0;
let failed = 0;
let tail = "";
const decoder = new TextDecoder();
for await (const chunk of child.stderr) {
  process.stderr.write(chunk);
  tail = (tail + decoder.decode(chunk, { stream: true })).slice(-4000);
}
const count = (word: string): number =>
  Number(new RegExp(`^\\s*(\\d+) ${word}\\b`, "m").exec(Bun.stripANSI(tail))?.[1] ?? 0);
passed += count("pass");
failed += count("fail") + count("error(?:s)?");
const status = await child.exited;
if (status !== 0 && failed === 0) failed = 1;
process.stdout.write(`${Math.round((performance.now() - started) / 1000)} s\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
