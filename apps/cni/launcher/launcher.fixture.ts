import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launcherFile } from "./launcher.ts";

/** Both are tested on every machine: the other one's under QEMU's emulator of single programs. */
export const architectures = ["x64", "arm64"] as const;
export type Architecture = (typeof architectures)[number];
const emulated = { x64: "qemu-x86_64", arm64: "qemu-aarch64" } as const;

/** What stands beside the launcher in most tests: it says why it was called, and what was left for it on standard input. */
const witness = `#!/bin/sh
printf 'handed over: %s, %s, %s bytes\\n' "$1" "$CNI_COMMAND" "$(wc -c)"
exit 3
`;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type Variables = Readonly<Record<string, string>>;
export type Input = string | Uint8Array | ReadableStream;
export type Started = Bun.Subprocess<Uint8Array | ReadableStream, "pipe", "pipe">;

/** A folder with the launcher, and beside it what it hands over to. */
export class LauncherFolder {
  readonly path = mkdtempSync(join(tmpdir(), "twill-launcher-"));
  /** How to start it. */
  readonly command: readonly string[];

  /** @param program the text of a script. */
  constructor(architecture: Architecture, program = witness) {
    const launcher = join(this.path, "twill-cni");
    writeFileSync(launcher, launcherFile(architecture));
    writeFileSync(join(this.path, "twill"), program);
    for (const file of ["twill", "twill-cni"]) chmodSync(join(this.path, file), 0o755);
    this.command = architecture === process.arch ? [launcher] : [emulator(architecture), launcher];
  }

  start(variables: Variables, input: Input, wrapper: readonly string[] = []): Started {
    const stdin: Uint8Array | ReadableStream = typeof input === "string" ? new TextEncoder().encode(input) : input;
    return Bun.spawn([...wrapper, ...this.command], {
      env: { PATH: process.env.PATH ?? "", ...variables },
      stdin,
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  async run(variables: Variables, input: Input, wrapper: readonly string[] = []): Promise<Ended> {
    return await ended(this.start(variables, input, wrapper));
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export async function ended(child: Started): Promise<Ended> {
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, stdout, stderr };
}

function emulator(architecture: Architecture): string {
  const name = emulated[architecture];
  const path = Bun.which(name) ?? Bun.which(`${name}-static`);
  if (path === null) throw new Error(`the tests of the launcher for ${architecture} need Debian's qemu-user`);
  return path;
}
