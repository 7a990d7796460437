/**
 * A process that claims subnets for node after node until none is left, and prints those that it got as one line of
 * JSON. Arguments: the datastore's file, a name for this process, SubnetLen.
 */
import { systemClock } from "../../src/base/clock.ts";
import { isCode } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import { SubnetClaimer } from "../../src/ipam/subnet-claimer.ts";
import { EmbeddedDatastore } from "../../src/store/embedded/embedded.ts";
import { tenSlashEight } from "./range.ts";

/** Nodes that ask at the same time. The datastore writes what waits together in one commit. */
const parallel = 64;

const [file = "", name = "", length = ""] = process.argv.slice(2);
const store = await EmbeddedDatastore.open(file, { lockTimeout: 60_000 });
const range = tenSlashEight(Number(length));
const readRange = () => Promise.resolve(range);
const claimer = new SubnetClaimer({ store, readRange, clock: systemClock, random: systemRandom });

const got: [node: string, subnet: string][] = [];
let nodes = 0;

async function claimUntilFull(): Promise<void> {
  for (;;) {
    const node = `${name}-${nodes++}`;
    try {
      got.push([node, (await claimer.claim({ node, id: `machine of ${node}` })).subnet]);
    } catch (error) {
      if (isCode(error, "exhausted")) return;
      throw error;
    }
  }
}

process.stdout.write("ready\n");
for await (const _ of process.stdin) break;
await Promise.all(Array.from({ length: parallel }, claimUntilFull));
await store.close();
// Not process.stdout: what is larger than a pipe would be cut off at the end of the process.
await Bun.write(Bun.stdout, `${JSON.stringify(got)}\n`);
