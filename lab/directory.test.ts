import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isCode } from "../src/base/errors.ts";
import {
  claimDirectory,
  isRunning,
  labDirectory,
  labVariable,
  readRecord,
  removeLab,
  writeRecord,
} from "./directory.ts";
import { identify, isAlive } from "./process.ts";

async function inFolder(work: (lab: string, folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync("/tmp/twill-directory-");
  try {
    await work(join(folder, "lab"), folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("of two who claim a directory one gets it, and only its owner's things are touched", () =>
  inFolder(async (lab, folder) => {
    claimDirectory(lab, false);
    expect(isRunning(lab)).toBe(true); // its creator, this process, lives
    let error: unknown;
    try {
      claimDirectory(lab, false);
    } catch (caught) {
      error = caught;
    }
    expect(isCode(error, "exists")).toBe(true);
    expect(readdirSync(folder)).toEqual(["lab"]);
    expect(await removeLab(lab)).toBe(true);
    expect(await removeLab(lab)).toBe(false);

    writeFileSync(lab, "a file of somebody");
    expect(isCode(await removeLab(lab).catch((caught: unknown) => caught), "denied")).toBe(true);
    expect(existsSync(lab)).toBe(true);
  }));

test("a process that took over a recorded number is not killed, and is no running lab", () =>
  inFolder(async (lab) => {
    const bystander = Bun.spawn(["sleep", "100"]);
    try {
      const real = identify(bystander.pid);
      if (real === undefined) throw new Error("no such process");
      mkdirSync(lab);
      const stale = { pid: real.pid, startTime: String(Number(real.startTime) - 1) };
      writeRecord(lab, { version: 1, creator: stale, init: stale, rootless: false });
      expect(readRecord(lab)?.init).toEqual(stale);
      expect(isRunning(lab)).toBe(false);
      expect(await removeLab(lab)).toBe(true);
      expect(isAlive(real)).toBe(true);
    } finally {
      bystander.kill("SIGKILL");
    }
  }));

test("leftovers are found by their environment, even when nothing was recorded; claims of the dead are cleared", () =>
  inFolder(async (lab, folder) => {
    const member = Bun.spawn(["sleep", "100"], { env: { [labVariable]: lab } });
    const other = Bun.spawn(["sleep", "100"], { env: { [labVariable]: `${lab}-other` } });
    try {
      await until(() => readEnvironment(member.pid).includes(lab) && readEnvironment(other.pid).includes(lab));
      mkdirSync(`${lab}.claim-999999-1`);
      expect(await removeLab(lab)).toBe(true);
      expect(readdirSync(folder)).toEqual([]);
      await member.exited;
      expect(identify(other.pid)).toBeDefined();
    } finally {
      member.kill("SIGKILL");
      other.kill("SIGKILL");
    }
  }));

test("a place where no lab can be is refused at once", () => {
  for (const [place, message] of [
    ["/tmp/no-such-directory/lab", "the directory above it is missing"],
    [`/tmp/${"x".repeat(100)}`, "longer than"],
  ] as const)
    expect(() => claimDirectory(place, false)).toThrow(message);
});

test("where it lies: TWILL_LAB, else /run for root", () => {
  expect(labDirectory({ TWILL_LAB: "/x/../y" })).toBe("/y");
  expect(labDirectory({})).toBe(process.geteuid?.() === 0 ? "/run/twill-lab" : `/tmp/twill-lab-${process.geteuid?.()}`);
});

const readEnvironment = (pid: number): string =>
  Bun.spawnSync(["cat", `/proc/${pid}/environ`], { stderr: "ignore" }).stdout.toString();

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition() && performance.now() < deadline) await Bun.sleep(5);
}
