/** `npm run lab`: builds when something changed, then `twill lab up` (or any other lab command: `npm run lab -- --nodes 6`). */
import { build, executable, isCurrent } from "./build.ts";

if (!isCurrent()) {
  process.stderr.write("twill: building dist/twill …\n");
  build();
}
process.on("SIGINT", () => {}); // the child gets it too, cleans up, and its exit status counts
const child = Bun.spawn([executable, "lab", ...process.argv.slice(2)], { stdio: ["inherit", "inherit", "inherit"] });
process.exitCode = await child.exited;
