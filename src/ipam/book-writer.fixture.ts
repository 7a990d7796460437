/**
 * Works on an address book as fast as it can until it is killed. Says before each operation what it begins, and after
 * it what came of it, a line of JSON each, written at once. Arguments: the book's file, a seed.
 */
import { writeSync } from "node:fs";
import { isCode } from "../base/errors.ts";
import { parsePrefix } from "../base/prefix.ts";
import { seededRandom } from "../base/random.ts";
import { AddressBook } from "./address-book.ts";
import { systemBoot } from "./boot.ts";

const [path = "", seed = ""] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const say = (line: unknown): void => {
  writeSync(1, `${JSON.stringify(line)}\n`);
};

const subnets = [parsePrefix("10.244.1.0/24"), parsePrefix("fd00:10:244:1::/64")];
const { book } = AddressBook.open(path, { subnets, boot: systemBoot(), quarantine: 1 });
say({ opened: book.list().length });

for (;;) {
  const containerId = `c${random.below(60)}`;
  const key = { network: "twill", containerId, ifname: "eth0" };
  const known = book.get(key);
  say({ begins: containerId });
  if (known === undefined) {
    try {
      const { addresses } = book.assign(key, { families: [4, 6] });
      say({ done: containerId, addresses, state: "adding" });
    } catch (error) {
      if (!isCode(error, "exhausted")) throw error;
    }
  } else if (known.state === "adding" && random.below(2) === 0) {
    book.confirm(key, "result");
    say({ done: containerId, addresses: known.addresses, state: "ready" });
  } else {
    book.release(key);
    say({ done: containerId, addresses: [], state: "released" });
  }
}
