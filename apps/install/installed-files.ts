import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readIfExists, writeIfChanged } from "../agent/files.ts";

const ledger = "installed.json";

/** Written down before the files are, so that an installer that is killed leaves nothing that nobody knows of. */
export function rememberInstalled(stateDir: string, paths: readonly string[]): void {
  const files = [...new Set([...installedFiles(stateDir), ...paths])];
  writeIfChanged(join(stateDir, ledger), `${JSON.stringify({ version: 1, files })}\n`, { mode: 0o600 });
}

/** What the installer put on this node, ever. A damaged list removes nothing. */
export function installedFiles(stateDir: string): readonly string[] {
  try {
    const { files } = JSON.parse(readIfExists(join(stateDir, ledger)) ?? "{}") as { files?: unknown };
    return Array.isArray(files) ? files.map(String) : [];
  } catch {
    return [];
  }
}

/** @returns the files that were there. */
export function removeInstalled(stateDir: string): string[] {
  const present = installedFiles(stateDir).filter((path) => existsSync(path));
  for (const path of present) rmSync(path);
  return present;
}
