/**
 * `npm run cluster`: builds what is missing, then `twill lab up --kubernetes`: a real Kubernetes on this machine with
 * Twill as its pod network. Arguments are passed on: `npm run cluster -- --nodes 5`. With `--build-only` it stops when all
 * programs are there, those of `npm run test:cluster` too.
 */

import { testPrograms } from "../lab/kubernetes/binaries.ts";
import { build, executable, isCurrent } from "./build.ts";
import { buildPrograms, prepareCluster } from "./cluster/prepare.ts";

const say = (line: string) => process.stderr.write(`twill: ${line}\n`);
if (process.argv.includes("--build-only")) {
  await buildPrograms(testPrograms, say);
  process.exit(0);
}
if (!isCurrent()) {
  say("building dist/twill …");
  build();
}
await prepareCluster(say);
process.on("SIGINT", () => {}); // the child gets it too, cleans up, and its exit status counts
const child = Bun.spawn([executable, "lab", "up", "--kubernetes", ...process.argv.slice(2)], {
  stdio: ["inherit", "inherit", "inherit"],
});
process.exitCode = await child.exited;
