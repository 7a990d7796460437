import { tryRead, tryWrite } from "../../src/kernel/file.ts";
import { runPlugin } from "./plugin.ts";

/**
 * The whole CNI plugin: what the launcher becomes when the agent does not answer it (docs/design/cni-launcher.md), and all there
 * is where there is no launcher. A process per call, so what it loads is time that a pod waits. Measured: process.stdin and
 * process.stdout would cost 8 ms, node:fs 1 ms; bare system calls cost nothing.
 */
export function main(): void {
  const { status, stdout } = runPlugin(process.env, readStdin(), process.argv[2]);
  if (stdout !== "") writeAll(`${stdout}\n`);
  process.exit(status);
}

/** Empty where there is none, as when a person tries the program in a terminal. */
function readStdin(): string {
  if (process.env.CNI_COMMAND === undefined) return "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  for (;;) {
    const length = tryRead(0, buffer);
    if (length <= 0 || text.length > maximumConfig) return text + decoder.decode();
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
}

/** Characters; with a GC's list of valid attachments it may be long. */
const maximumConfig = 4 << 20;

/** A pipe takes less than a large result in one write. */
function writeAll(text: string): void {
  let rest = new TextEncoder().encode(text);
  while (rest.length > 0) {
    const written = tryWrite(1, rest);
    if (written <= 0) return; // nobody reads any more
    rest = rest.subarray(written);
  }
}

if (import.meta.main) main();
