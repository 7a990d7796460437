import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimCodec, SUBNETS, subnetOfName } from "../../src/ipam/subnet-claim.ts";
import { EmbeddedDatastore } from "../../src/store/embedded/embedded.ts";

const processes = 4;

/** Starts the processes, lets them go at the same moment, and returns what each says it got. */
async function race(file: string, length: number): Promise<[node: string, subnet: string][][]> {
  const children = Array.from({ length: processes }, (_, index) =>
    Bun.spawn([process.execPath, join(import.meta.dir, "claim-all.ts"), file, `p${index}`, String(length)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    }),
  );
  try {
    const outputs = children.map((child) => lines(child.stdout));
    for (const output of outputs) expect(await output.next()).toEqual({ value: "ready", done: false });
    for (const child of children) {
      child.stdin.write("go\n");
      await child.stdin.end();
    }
    return await Promise.all(outputs.map(async (output) => JSON.parse((await output.next()).value ?? "null")));
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  return undefined;
}

test("four processes lease all 65,536 /24s of 10.0.0.0/8: none twice, none left", async () => {
  const directory = mkdtempSync(join(tmpdir(), "twill-lease-race-"));
  try {
    const file = join(directory, "store.db");
    await (await EmbeddedDatastore.open(file)).close();
    const got = await race(file, 24);

    const owners = new Map<string, string>();
    for (const [node, subnet] of got.flat()) {
      expect(owners.get(subnet)).toBeUndefined();
      owners.set(subnet, node);
    }
    expect(owners.size).toBe(65_536);
    for (let index = 0; index < 65_536; index++) expect(owners.has(`10.${index >> 8}.${index & 255}.0/24`)).toBe(true);
    for (const each of got) expect(each.length).toBeGreaterThan(0);

    const store = await EmbeddedDatastore.open(file);
    const { objects } = await store.list(SUBNETS);
    await store.close();
    expect(objects.length).toBe(65_536);
    for (const { name, value, expiresAt } of objects) {
      expect(claimCodec.decode(value, name).node).toBe(owners.get(subnetOfName(name) ?? "") ?? "nobody");
      expect(expiresAt).toBeDefined();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 600_000);
