import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, type Family, parseAddress } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { parseMac } from "../base/mac.ts";
import { parsePrefix } from "../base/prefix.ts";
import { pick, seededRandom } from "../base/random.ts";
import type { AttachmentKey } from "../model/attachment-key.ts";
import { AddressBook, type BookOptions } from "./address-book.ts";

const directories: string[] = [];
const books: AddressBook[] = [];
afterEach(() => {
  for (const book of books.splice(0)) book.close();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

const key = (containerId: string, ifname = "eth0", network = "twill"): AttachmentKey => ({
  network,
  containerId,
  ifname,
});
const a = (text: string): Address => parseAddress(text);
const four: { families: Family[] } = { families: [4] };

function freshPath(): string {
  const directory = mkdtempSync(join(tmpdir(), "twill-book-"));
  directories.push(directory);
  return join(directory, "addresses.db");
}

/** A book whose boot clock and boot id the test owns. */
function setUp(subnets = ["10.244.1.0/24", "fd00:10:244:1::/64"], path = freshPath()) {
  const boot = { id: "boot 1", time: 1_000_000, now: () => boot.time };
  const reopen = (options: Partial<BookOptions> = {}) => {
    const opened = AddressBook.open(path, { subnets: subnets.map(parsePrefix), boot, ...options });
    books.push(opened.book);
    return opened;
  };
  const crash = (book: AddressBook) => {
    book.close();
    books.splice(books.indexOf(book), 1);
  };
  return { path, boot, reopen, crash, book: reopen().book };
}

function edit(path: string, statement: string): void {
  const database = new Database(path, { create: true });
  database.run(statement);
  database.close();
}

function errorOf(work: () => unknown): TwillError {
  try {
    work();
  } catch (error) {
    if (error instanceof TwillError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

test("an attachment gets an address of each family, keeps it while it is added, and is refused when it is ready", () => {
  const { book } = setUp();
  const mac = parseMac("0e:00:00:00:00:01");
  const first = book.assign(key("c1"), { families: [4, 6], mac });
  expect(first).toEqual({ key: key("c1"), state: "adding", addresses: [a("10.244.1.2"), a("fd00:10:244:1::2")], mac });
  expect(book.assign(key("c1"), { families: [4, 6], mac })).toEqual(first);
  expect(book.assign(key("c1", "net1"), four).addresses).toEqual([a("10.244.1.3")]);
  expect(book.assign(key("c1", "eth0", "other"), four).addresses).toEqual([a("10.244.1.4")]);
  expect(errorOf(() => book.assign(key("c1"), { families: [4, 6] })).code).toBe("conflict");
  expect(book.confirm(key("c1"), `{"x":1}`)).toMatchObject({ state: "ready", result: `{"x":1}` });
  const error = errorOf(() => book.assign(key("c1"), { families: [4, 6], mac }));
  expect([error.code, error.object]).toEqual(["exists", "container c1, interface eth0, network twill"]);
  expect(errorOf(() => book.confirm(key("c9"), "{}")).code).toBe("not-found");
  expect(book.ownerOf(a("10.244.1.2"))?.key).toEqual(key("c1"));
  expect(book.get(key("c1", "net1"))?.state).toBe("adding");
  expect(book.list().length).toBe(3);
});

test("keys that run together as text are different attachments", () => {
  const { book } = setUp();
  const one = book.assign({ network: "a", containerId: "b,c", ifname: "d" }, four);
  const two = book.assign({ network: "a,b", containerId: "c", ifname: "d" }, four);
  expect(one.addresses).not.toEqual(two.addresses);
});

test("all or nothing: without an IPv6 address no IPv4 address is lost", () => {
  const { book } = setUp(["10.244.1.0/24"]);
  expect(errorOf(() => book.assign(key("c1"), { families: [4, 6] }))).toMatchObject({
    code: "invalid",
    message: "this node has no IPv6 subnet",
  });
  expect([book.list(), book.counts()[0]?.used]).toEqual([[], 0]);
});

test("exhaustion says how many, where, and when the next one is free; then that one is given", () => {
  const { book, boot } = setUp(["10.244.1.0/29"]);
  for (let count = 0; count < 5; count++) book.assign(key(`c${count}`), four);
  const full = errorOf(() => book.assign(key("x"), four));
  expect(full.describe()).toStartWith("assign address: all 5 addresses of 10.244.1.0/29 are in use (delete pods");
  book.release(key("c3"));
  boot.time += 10_000;
  book.release(key("c1"));
  boot.time += 3_000;
  const waiting = errorOf(() => book.assign(key("x"), four));
  expect([waiting.code, waiting.message, waiting.remedy]).toEqual([
    "exhausted",
    "all 5 addresses of 10.244.1.0/29 are in use (2 of them in quarantine, the next is free in 17 s)",
    "try again then",
  ]);
  expect(book.counts()).toEqual([{ subnet: parsePrefix("10.244.1.0/29"), size: 5, used: 3, quarantined: 2, free: 0 }]);
  boot.time += 17_000;
  expect(book.assign(key("x"), four).addresses).toEqual([a("10.244.1.5")]);
});

test("several subnets of a family are used up one after the other", () => {
  const { book } = setUp(["10.244.1.0/30", "10.244.7.0/30"]);
  expect(book.assign(key("c1"), four).addresses).toEqual([a("10.244.1.2")]);
  expect(book.assign(key("c2"), four).addresses).toEqual([a("10.244.7.2")]);
  expect(errorOf(() => book.assign(key("c3"), four)).message).toContain(
    "all 2 addresses of 10.244.1.0/30, 10.244.7.0/30",
  );
});

test("requested addresses are given, or refused each with its own reason", () => {
  const { book, boot } = setUp();
  const ask =
    (...requested: string[]) =>
    () =>
      book.assign(key("x"), { families: [4], requested: requested.map(a) });
  book.assign(key("c1"), { families: [4], requested: [a("10.244.1.77")] });
  book.assign(key("c2"), { families: [4], requested: [a("10.244.1.78")] });
  book.release(key("c2"));
  boot.time += 1_000;
  const reasons = {
    "10.244.2.5": ["invalid", /outside this node's subnets \(10\.244\.1\.0\/24\)/],
    "fd00::5": ["invalid", /fd00:10:244:1::\/64/],
    "10.244.1.0": ["invalid", /kept for/],
    "10.244.1.1": ["invalid", /kept for/],
    "10.244.1.255": ["invalid", /kept for/],
    "fd00:10:244:1::1": ["invalid", /kept for/],
    "10.244.1.77": ["conflict", /container c1, interface eth0, network twill has it/],
    "10.244.1.78": ["unavailable", /quarantine for 29 s more/],
  } as const;
  for (const [address, [code, message]] of Object.entries(reasons)) {
    const error = errorOf(ask(address));
    expect([address, error.code, error.object]).toEqual([address, code, address]);
    expect(error.message).toMatch(message);
    expect(error.remedy).toBeDefined();
  }
  expect(errorOf(ask("10.244.1.90", "10.244.1.77")).code).toBe("conflict");
  expect(book.ownerOf(a("10.244.1.90"))).toBeUndefined();
  const both = book.assign(key("y"), { families: [4, 6], requested: [a("fd00:10:244:1:9::9")] });
  expect(both.addresses).toEqual([a("fd00:10:244:1:9::9"), a("10.244.1.2")]);
  expect(book.assign(key("y"), { families: [4, 6], requested: [a("fd00:10:244:1:9::9")] })).toEqual(both);
});

test("release is idempotent, and gc frees what its network no longer has, nothing of another", () => {
  const { book } = setUp();
  for (const name of ["c1", "c2", "c3"]) book.assign(key(name), four);
  book.assign(key("c1", "eth0", "other"), four);
  expect(book.release(key("c3"))).toEqual([a("10.244.1.4")]);
  expect(book.release(key("c3"))).toEqual([]);
  expect(book.gc("twill", [key("c2"), key("unknown")]).map((each) => each.key)).toEqual([key("c1")]);
  expect(book.list().map((each) => each.key)).toEqual([key("c2"), key("c1", "eth0", "other")]);
  expect(book.releaseWhere(({ state }) => state === "adding").length).toBe(2);
  expect(book.list()).toEqual([]);
});

test("a restarted agent finds what it had: owners, results, quarantine, the order of reuse", () => {
  const { book, boot, crash, reopen } = setUp(["10.244.1.0/29"]);
  const mac = parseMac("0e:00:00:00:00:02");
  for (const name of ["c1", "c2", "c3", "c4", "c5"]) book.assign(key(name), { ...four, mac });
  book.confirm(key("c1"), "result");
  book.release(key("c4"));
  boot.time += 5;
  book.release(key("c2"));
  const before = [book.list(), book.counts()];
  crash(book);
  const { book: again, freed } = reopen();
  expect(freed).toEqual([]);
  expect([again.list(), again.counts()]).toEqual(before);
  expect(errorOf(() => again.assign(key("n1"), four)).message).toContain("2 of them in quarantine");
  boot.time += 60_000;
  expect(again.assign(key("n1"), four).addresses).toEqual([a("10.244.1.5")]);
  expect(again.assign(key("n2"), four).addresses).toEqual([a("10.244.1.3")]);
});

test("after a reboot all addresses are free again, listed, and in quarantine for what is left of it since the boot", () => {
  const { book, boot, crash, reopen } = setUp(["10.244.1.0/29"]);
  for (const name of ["c1", "c2", "c3", "c4", "c5"]) book.assign(key(name), four);
  book.confirm(key("c1"), "result");
  book.release(key("c5"));
  crash(book);
  boot.id = "boot 2";
  boot.time = 12_000;
  const { book: again, freed } = reopen();
  expect(freed.map((each) => [each.key.containerId, each.state, each.addresses[0] ?? ""] as const)).toEqual([
    ["c1", "ready", a("10.244.1.2")],
    ["c2", "adding", a("10.244.1.3")],
    ["c3", "adding", a("10.244.1.4")],
    ["c4", "adding", a("10.244.1.5")],
  ]);
  expect(again.list()).toEqual([]);
  expect(errorOf(() => again.assign(key("n"), four)).message).toContain(
    "5 of them in quarantine, the next is free in 18 s",
  );
  boot.time = 30_000;
  expect(again.assign(key("n"), four).addresses).toEqual([a("10.244.1.6")]);
  crash(again);
  const third = reopen();
  expect([third.freed, third.book.list().length]).toEqual([[], 1]);
});

test("quarantine is measured on the boot clock, and cannot become endless when that goes back", () => {
  const { book, boot, crash, reopen } = setUp(["10.244.1.0/30"]);
  book.assign(key("c1"), four);
  book.release(key("c1"));
  crash(book);
  boot.time = 10;
  const { book: again } = reopen();
  boot.time = 29_000;
  expect(errorOf(() => again.assign(key("c2"), four)).code).toBe("exhausted");
  boot.time = 30_010;
  expect(again.assign(key("c2"), four).addresses).toEqual([a("10.244.1.2")]);
});

test("other subnets: assignments stay until released, new ones come from the new; quarantine outlives the change", () => {
  const { book, boot, crash, reopen } = setUp(["10.244.1.0/30"]);
  book.assign(key("c1"), four);
  book.setSubnets([parsePrefix("10.244.9.0/30")]);
  expect(book.get(key("c1"))?.addresses).toEqual([a("10.244.1.2")]);
  expect(book.assign(key("c2"), four).addresses).toEqual([a("10.244.9.2")]);
  expect(book.release(key("c1"))).toEqual([a("10.244.1.2")]);
  book.setSubnets([parsePrefix("10.244.1.0/30")]);
  expect(errorOf(() => book.assign(key("c3"), four)).message).toContain("1 of them in quarantine");
  boot.time += 30_000;
  book.setSubnets([parsePrefix("10.244.9.0/30")]);
  crash(book);
  const { book: again } = reopen({ subnets: [parsePrefix("10.244.9.0/29")] });
  expect(again.assign(key("c4"), four).addresses).toEqual([a("10.244.9.3")]);
});

test("the file is the agent's alone: 0600, locked against a second process, whose error says so", () => {
  const { path, book, crash, reopen } = setUp();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(errorOf(() => reopen())).toMatchObject({ code: "unavailable", object: path });
  book.assign(key("c1"), four);
  expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600);
  crash(book);
  chmodSync(path, 0o644);
  expect(reopen().book.list().length).toBe(1);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("a damaged file is refused with a remedy and left as it is", () => {
  const damages: Record<string, (path: string) => void> = {
    "is empty": (path) => truncateSync(path, 0),
    SQLITE: (path) => writeFileSync(path, "this was a database once, until somebody wrote over it ".repeat(100)),
    "not an address book": (path) => {
      rmSync(path);
      edit(path, "CREATE TABLE x (y)");
    },
    "which boot": (path) => edit(path, "DELETE FROM boot"),
    '"10.244.1.x" is not an address': (path) => edit(path, "UPDATE address SET address = '10.244.1.x'"),
  };
  for (const [message, damage] of Object.entries(damages)) {
    const { path, book, crash, reopen } = setUp();
    book.assign(key("c1"), four);
    crash(book);
    damage(path);
    const before = readFileSync(path);
    const error = errorOf(() => reopen());
    expect([message, error.code, error.object]).toEqual([message, "corrupt", path]);
    expect(error.message).toContain(message);
    expect(error.remedy).toContain("drain the node");
    expect(readFileSync(path).equals(before)).toBe(true);
  }
});

test("a file whose pages were overwritten never gives an address twice: it is refused, whichever page it was", () => {
  const random = seededRandom(3);
  const { path, book, crash, reopen } = setUp();
  for (let count = 0; count < 250; count++) book.assign(key(`container ${count}`), { families: [4, 6] });
  crash(book);
  const whole = readFileSync(path);
  expect(whole.length / 4096).toBeGreaterThan(8);
  for (let page = 1; page < whole.length / 4096; page++) {
    const damaged = Buffer.from(whole);
    damaged.set(random.bytes(64), page * 4096);
    writeFileSync(path, damaged);
    expect(errorOf(() => reopen()).code).toBe("corrupt");
  }
});

test("the layout of a later Twill is refused, that of the first one read", () => {
  const { path, book, crash, reopen } = setUp();
  crash(book);
  edit(path, "PRAGMA user_version = 2");
  expect(errorOf(() => reopen())).toMatchObject({ code: "unsupported" });
  writeFileSync(path, readFileSync(join(import.meta.dir, "fixtures/address-book-1.db")));
  const { book: first } = reopen();
  expect(first.list()).toEqual([
    { key: key("c1"), state: "ready", addresses: [a("10.244.1.2")], mac: parseMac("0e:00:00:00:00:01"), result: "{}" },
    { key: key("c2"), state: "adding", addresses: [a("10.244.1.3"), a("fd00:10:244:1::2")] },
  ]);
  expect(first.counts()[0]?.quarantined).toBe(1);
});

test("a new book does not inherit the log of a deleted one", () => {
  const { path, book, crash, reopen } = setUp();
  book.assign(key("c1"), four);
  const log = readFileSync(`${path}-wal`);
  crash(book);
  rmSync(path);
  writeFileSync(`${path}-wal`, log);
  expect(reopen().book.list()).toEqual([]);
  expect(existsSync(`${path}.new`)).toBe(false);
});

test("random histories with restarts and reboots: never two owners, what is on disk is what is in memory", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = seededRandom(seed);
    const { boot, crash, reopen, book: first } = setUp(["10.244.1.0/27"]);
    let book = first;
    const lastUse = new Map<Address, number>();
    for (let step = 0; step < 300; step++) {
      boot.time += random.below(3_000);
      const name = key(`c${random.below(40)}`);
      const action = random.below(100);
      if (action < 55) {
        const before = book.get(name);
        try {
          for (const address of book.assign(name, four).addresses) {
            if (before !== undefined) continue;
            expect(boot.time - (lastUse.get(address) ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(30_000);
          }
        } catch (error) {
          if (!(error instanceof TwillError) || !["exists", "exhausted"].includes(error.code)) throw error;
        }
      } else if (action < 85) {
        for (const address of book.release(name)) lastUse.set(address, boot.time);
      } else if (action < 93 && book.list().length > 0) {
        book.confirm(pick(random, book.list()).key, `step ${step}`);
      } else if (action < 98) {
        const before = book.list();
        crash(book);
        book = reopen().book;
        expect(book.list()).toEqual(before);
      } else {
        const before = book.list();
        crash(book);
        boot.id = `boot ${step} of seed ${seed}`;
        boot.time = 0;
        lastUse.clear();
        for (const { addresses } of before) for (const address of addresses) lastUse.set(address, 0);
        const opened = reopen();
        book = opened.book;
        expect(opened.freed).toEqual(before);
      }
      const owned = book.list().flatMap(({ addresses }) => addresses);
      expect(new Set(owned).size).toBe(owned.length);
      for (const address of owned) expect(book.ownerOf(address)).toBeDefined();
    }
  }
});

test("an ADD that fails again and again takes no address out of use; one that is ready is not cancelled", () => {
  const { book } = setUp(["10.244.1.0/29"]);
  for (let tries = 0; tries < 20; tries++) {
    book.assign(key(`n${tries}`), four);
    book.cancel(key(`n${tries}`));
  }
  expect(book.counts()).toMatchObject([{ used: 0, quarantined: 0, free: 5 }]);
  book.assign(key("kept"), four);
  book.confirm(key("kept"), "{}");
  book.cancel(key("kept"));
  expect(book.get(key("kept"))?.state).toBe("ready");
});
