// What `npm run …` and `npm test` start: plain Node, because on a fresh machine nothing else is there yet.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root, setup } from "./setup.mjs";

const [command, ...args] = process.argv.slice(2);

try {
  const bun = setup();
  const run = (file, rest) =>
    spawnSync(bun, [join(root, "scripts", file), ...rest], { cwd: process.cwd(), stdio: "inherit" });
  // npm sends ctrl-C to the whole group; the child cleans up and decides the exit status.
  process.on("SIGINT", () => {});
  const scripts = {
    build: () => run("build.ts", args),
    lab: () => run("lab.ts", args),
    cluster: () => run("cluster.ts", args),
    test: () => run("test.ts", args),
    "test:cluster": () => run("test.ts", ["--cluster", ...args]),
    faults: () => run("faults.ts", args),
    check: () => run("check.ts", args),
    format: () => run("check.ts", ["--write"]),
    bench: () => run("bench.ts", args),
    mutations: () => run("mutations.ts", args),
    docs: () => run("docs.ts", args),
    image: () => run("image.ts", args),
    deploy: () => run("deploy.ts", args),
  };
  const script = scripts[command];
  if (script === undefined) throw new Error(`unknown command "${command}"; known: ${Object.keys(scripts).join(", ")}`);
  const result = script();
  if (result.error) throw result.error;
  process.exitCode = result.signal === "SIGINT" ? 130 : (result.status ?? 1);
} catch (error) {
  process.stderr.write(`twill: ${error.message}\n`);
  process.exitCode = 1;
}
