import { readFileSync, writeSync } from "node:fs";
import { runPlugin } from "./plugin.ts";

/**
 * The CNI plugin, `twill-cni`: a process per call, so what it loads is the product's start-up time. process.stdin and
 * process.stdout are left alone: their streams alone take 8 ms to load, twice what all the rest does.
 */
export function main(): void {
  const { status, stdout } = runPlugin(process.env, readStdin());
  if (stdout !== "") writeAll(`${stdout}\n`);
  process.exit(status);
}

/** Empty where there is none, as when a person tries the program in a terminal. */
function readStdin(): string {
  try {
    return process.env.CNI_COMMAND === undefined ? "" : readFileSync(0, "utf8");
  } catch {
    return "";
  }
}

/** A pipe takes less than a large result in one write. */
function writeAll(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(1, bytes, done);
}

if (import.meta.main) main();
