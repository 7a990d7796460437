import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { createLog } from "../../../src/base/log.ts";
import { someFlow } from "./flow.fixture.ts";
import { FlowHistory } from "./flow-history.ts";

/** `bun history-child.fixture.ts FOLDER write`: keeps flows until it is killed. `… full`: with a disk that is full meanwhile. */
const [folder = "", what = ""] = process.argv.slice(2);
let now = 0;
const clock = { ...systemClock, monotonic: () => performance.now() + now };
const log = createLog({ level: "error", format: "text", write: () => {} });
const history = FlowHistory.open({
  folder: join(folder, "flows"),
  node: "n1",
  maximumBytes: 1 << 20,
  fileBytes: 20_000,
  clock,
  log,
});
const write = async (count: number) => {
  for (let n = 0; n < count; n++) {
    history.add([someFlow(n)]);
    if (n % 7 === 0) await history.flush();
  }
  await history.flush();
};

if (what === "write") {
  process.stdout.write("ready\n");
  // Ends by itself, should nobody be left to kill it.
  while (performance.now() < 20_000) await write(1000);
  process.exit(1);
}
await write(20);
const filler = join(folder, "filler");
try {
  for (;;) appendFileSync(filler, "x".repeat(512));
} catch {
  // full
}
await write(200);
const full = history.kept;
const told = await history.page({ filter: {}, place: 21, limit: 1000 });
rmSync(filler);
now += 60_000;
await write(20);
await history.close();
process.stdout.write(JSON.stringify({ full, told: told.flows.length, after: history.kept }));
