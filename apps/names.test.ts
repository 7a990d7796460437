import { expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const dist = process.env.TWILL_DIST ?? join(import.meta.dir, "../dist");

const run = (command: readonly string[], environment: Readonly<Record<string, string>> = {}) => {
  const { stdout, stderr, exitCode } = Bun.spawnSync([...command], { env: { ...environment }, timeout: 20_000 });
  return { text: stdout.toString() + stderr.toString(), exitCode };
};

test("each name of the executable is a program of its own", () => {
  expect(run([join(dist, "twill"), "version"]).text).toStartWith("twill ");
  expect(run([join(dist, "twill-agent"), "--version"]).text).toStartWith("twill-agent ");
  expect(run([join(dist, "twill-cni")], { CNI_COMMAND: "VERSION" }).text).toContain("supportedVersions");
});

test("kubectl-twill is the CLI, and its usage is what a person types", () => {
  const { text, exitCode } = run([join(dist, "kubectl-twill"), "status", "--help"]);
  expect(text).toContain("  kubectl twill status");
  expect(exitCode).toBe(0);
  expect(run([join(dist, "kubectl-twill"), "version"]).text).toStartWith("twill ");
});

test("kubectl itself, where there is one, finds the plugin in PATH", () => {
  const kubectl = Bun.which("kubectl");
  // Called as kubectl calls it where it is missing: by its path, under its own name.
  const command = kubectl === null ? [join(dist, "kubectl-twill")] : [kubectl, "twill"];
  const home = mkdtempSync(join(tmpdir(), "twill-kubectl-"));
  try {
    chmodSync(home, 0o700);
    const { text } = run([...command, "version"], { PATH: `${dist}:/usr/bin:/bin`, HOME: home });
    expect(text).toStartWith("twill ");
  } finally {
    rmSync(home, { recursive: true });
  }
});
