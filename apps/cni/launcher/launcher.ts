import { TwillError } from "../../../src/base/errors.ts";
import { arm64 } from "./arm64.ts";
import { executableFile } from "./executable-file.ts";
import type { Machine } from "./machine.ts";
import { source } from "./program.ts";
import { x8664 } from "./x86-64.ts";

/** As Bun and Node name them (process.arch). */
const machines: Readonly<Record<string, Machine>> = { x64: x8664, arm64 };

/** The file `twill-cni`. @param architecture as process.arch. @throws TwillError `unsupported` for a machine that it was not written for. */
export function launcherFile(architecture: string = process.arch): Uint8Array {
  const machine = machines[architecture];
  if (machine !== undefined) return executableFile(machine, source);
  throw new TwillError("unsupported", `there is no CNI launcher for ${architecture}`, {
    operation: "make twill-cni",
    remedy: "install the executable `twill` itself under the name twill-cni: it does the same, slower",
  });
}
