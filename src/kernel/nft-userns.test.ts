import { expect, test } from "bun:test";

test("a user namespace's root loads 100,000 elements in one transaction", () => {
  const program = new URL("../../test/support/nft-load-program.ts", import.meta.url).pathname;
  const command = ["unshare", "--user", "--map-root-user", "--net", process.execPath, program, "100000"];
  const result = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  expect(result.stderr.toString()).toBe("");
  expect(result.stdout.toString()).toBe("100000\n");
}, 70_000);
