/** Fills the file system of the directory given, works on an address book in it, and prints what happened as JSON. */
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../base/errors.ts";
import { parsePrefix } from "../base/prefix.ts";
import { AddressBook } from "./address-book.ts";
import { systemBoot } from "./boot.ts";

const [directory = ""] = process.argv.slice(2);
const path = join(directory, "addresses.db");
const filler = join(directory, "filler");
const key = (containerId: string) => ({ network: "twill", containerId, ifname: "eth0" });
const open = () =>
  AddressBook.open(path, { subnets: [parsePrefix("10.244.1.0/24")], boot: systemBoot(), quarantine: 0 }).book;

/** Until one fails; undefined when none does. */
function firstFailure(works: readonly (() => unknown)[]): TwillError | undefined {
  for (const work of works) {
    try {
      work();
    } catch (error) {
      if (error instanceof TwillError) return error;
      throw error;
    }
  }
  return undefined;
}

let book = open();
for (let count = 0; count < 20; count++) book.assign(key(`early ${count}`), { families: [4] });
try {
  for (;;) appendFileSync(filler, "x".repeat(512));
} catch {
  // full
}
const names = Array.from({ length: 200 }, (_, index) => `late ${index}`);
const assign = firstFailure(names.map((name) => () => book.assign(key(name), { families: [4] })));
const onFullDisk = book.list().length;
const before = JSON.stringify(book.list());
const early = names.map((_, index) => `early ${index}`);
const release = firstFailure(early.map((name) => () => book.release(key(name))));
const memory = book.list();
const stillOwned = memory.every(({ addresses }) => addresses.every((address) => book.ownerOf(address) !== undefined));
rmSync(filler);
book.close();
book = open();
const memoryEqualsDisk = JSON.stringify(memory) === JSON.stringify(book.list());
book.assign(key("afterwards"), { families: [4] });
process.stdout.write(
  JSON.stringify({
    assign: assign && { code: assign.code, message: assign.message, remedy: assign.remedy },
    release: release && { code: release.code, message: release.message },
    onFullDisk,
    unchanged: before === JSON.stringify(memory),
    memoryEqualsDisk,
    stillOwned,
    afterwards: book.get(key("afterwards")) !== undefined,
  }),
);
