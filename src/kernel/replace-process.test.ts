import { expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { replaceProcess } from "./replace-process.ts";

test("the process becomes another program, in the thread's namespace and with its environment", () => {
  const program = `
    import { replaceProcess } from ${JSON.stringify(`${import.meta.dir}/replace-process.ts`)};
    import { createNetns, inNetns } from ${JSON.stringify(`${import.meta.dir}/netns.ts`)};
    console.log(process.pid);
    inNetns(createNetns(), () =>
      replaceProcess("/bin/sh", ["sh", "-c", 'echo "$$ $A $1"; readlink /proc/self/ns/net', "sh", "x y"], { A: "b", PATH: process.env.PATH }));
  `;
  const child = Bun.spawnSync([process.execPath, "-e", program], { timeout: 20_000, stderr: "inherit" });
  const [before, line = "", netns] = child.stdout.toString().trim().split("\n");
  expect(line).toBe(`${before} b x y`);
  expect(netns).toStartWith("net:");
  expect(netns).not.toBe(readlinkSync("/proc/self/ns/net"));
});

test("a program that does not exist is refused, and we go on", () => {
  expect(() => replaceProcess("/no/such/program", ["x"], {})).toThrow("ENOENT");
});
