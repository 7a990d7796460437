/**
 * `npm run faults`: ten nodes, every fault at random, for twenty minutes: test/faults/random.test.ts at its full length.
 * `-- --minutes 5 --nodes 6` makes it another, `-- --seed N` repeats the choices of an earlier one.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, isCurrent, root } from "./build.ts";
import { installPackages } from "./packages.ts";
import { runTests } from "./test-run.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    nodes: { type: "string", default: "10" },
    seed: { type: "string" },
  },
});

installPackages();
if (!isCurrent()) build();
const results = await runTests(["test/faults/random.test.ts"], {
  folder: root,
  flags: ["--timeout", "60000"],
  environment: {
    PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
    TWILL_ROOT: root,
    TWILL_DIST: join(root, "dist"),
    TWILL_FAULTS_SECONDS: String(60 * Number(values.minutes)),
    TWILL_FAULTS_NODES: values.nodes,
    ...(values.seed === undefined ? {} : { TWILL_SEED: values.seed }),
  },
});
process.exit([...results.values()].every(({ passed, failed }) => passed > 0 && failed.length === 0) ? 0 : 1);
