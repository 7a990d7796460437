/** `npm run check`: formatting, lint and types. With --write (`npm run format`) it mends what can be mended. */
import { join } from "node:path";
import { root } from "./build.ts";

const bin = (name: string): string => join(root, "node_modules/.bin", name);
const steps = process.argv.includes("--write")
  ? [[bin("biome"), "check", "--write", "."]]
  : [
      [bin("biome"), "ci", "--error-on-warnings", "."],
      [bin("tsc"), "--pretty", "false"],
    ];
for (const step of steps) {
  const result = Bun.spawnSync(step, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (result.exitCode !== 0) process.exit(result.exitCode);
}
