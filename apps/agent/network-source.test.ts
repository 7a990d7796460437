import { expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import { FileNetwork, type NetworkSourceOptions } from "./network-source.ts";

const options: NetworkSourceOptions = {
  allowExtension: false,
  onChange: () => {},
  clock: systemClock,
  random: seededRandom(1),
  log: silentLog,
};

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "twill-source-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

function open(path: string, lastGood: string): FileNetwork {
  const source = new FileNetwork(path, lastGood, options);
  onTestFinished(() => source.close());
  return source;
}

const until = async (condition: () => boolean) => {
  for (let tries = 0; tries < 800 && !condition(); tries++) await Bun.sleep(10);
  expect(condition()).toBe(true);
};
const good = (network: string) => JSON.stringify({ Network: network });

test("a change is followed; a mistake is said with file and place, and the last good one stays, over a restart too", async () => {
  const place = folder();
  const [file, lastGood] = [join(place, "net-conf.json"), join(place, "last-good.json")];
  writeFileSync(file, good("10.244.0.0/16"));
  const source = open(file, lastGood);
  expect(String(source.network?.ipv4?.network)).toBe("10.244.0.0/16");

  // As an editor and a ConfigMap volume do it: another file under the same name.
  writeFileSync(`${file}.new`, good("10.99.0.0/16"));
  renameSync(`${file}.new`, file);
  await until(() => String(source.network?.ipv4?.network) === "10.99.0.0/16");

  writeFileSync(file, '{"Network": "10.99.0.0/16",}');
  await until(() => source.rejected !== undefined);
  expect(source.rejected?.describe()).toContain(file);
  expect(String(source.network?.ipv4?.network)).toBe("10.99.0.0/16");

  const restarted = open(file, lastGood);
  expect(String(restarted.network?.ipv4?.network)).toBe("10.99.0.0/16");
  expect(restarted.rejected).toBeDefined();

  writeFileSync(file, good("10.50.0.0/16"));
  await until(() => String(source.network?.ipv4?.network) === "10.50.0.0/16" && source.rejected === undefined);
}, 30_000);

test("no file is no network, and says where it should be; a file that goes keeps what was", async () => {
  const place = folder();
  const file = join(place, "net-conf.json");
  const source = open(file, join(place, "last-good.json"));
  expect(source.network).toBeUndefined();
  await expect(source.read()).rejects.toThrow("no network configuration");
  writeFileSync(file, good("10.244.0.0/16"));
  await until(() => source.network !== undefined);
  rmSync(file);
  await until(() => source.rejected?.message === "the file is gone");
  expect(source.network).toBeDefined();
}, 30_000);
