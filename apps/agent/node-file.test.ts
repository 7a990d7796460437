import { expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Prefix } from "../../src/base/prefix.ts";
import { seededRandom, systemRandom } from "../../src/base/random.ts";
import { NodeMemory } from "./node-file.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "twill-node-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test("Ethernet addresses and subnets outlive the process; a node has its own", () => {
  const place = folder();
  const first = NodeMemory.open(place, seededRandom(1), "node1", "embedded:/x");
  const mac = first.mac("flannel.1");
  expect(first.mac("flannel.1")).toBe(mac);
  expect(first.mac("flannel-v6.1")).not.toBe(mac);
  first.setSubnets(["10.244.1.0/24" as Prefix]);
  const again = NodeMemory.open(place, systemRandom, "node1", "embedded:/x");
  expect(again.file).toEqual(first.file);
  expect(again.mac("flannel.1")).toBe(mac);
  expect(NodeMemory.open(folder(), seededRandom(2), "node1", "x").mac("flannel.1")).not.toBe(mac);
  expect(statSync(join(place, "node.json")).mode & 0o777).toBe(0o600);
});

test("a damaged file is an error that says what to do, and is never replaced in silence", () => {
  const good = { version: 1, identity: "0".repeat(32), macs: {}, subnets: [] };
  const cases: [string, string][] = [
    ["{", "it is not JSON"],
    ["[]", "version undefined"],
    [JSON.stringify({ ...good, version: 2 }), "version 2"],
    [JSON.stringify({ ...good, identity: "x" }), "`identity`"],
    [JSON.stringify({ ...good, macs: { "flannel.1": "nonsense" } }), "`macs`"],
    [JSON.stringify({ ...good, subnets: "10.0.0.0/24" }), "`subnets`"],
    [JSON.stringify({ ...good, subnets: ["10.0.0.1/24"] }), "host bits"],
  ];
  for (const [text, words] of cases) {
    const place = folder();
    const path = join(place, "node.json");
    writeFileSync(path, text);
    expect(() => NodeMemory.open(place, systemRandom, "node1", "x")).toThrow(words);
    expect(readFileSync(path, "utf8")).toBe(text);
  }
});
