import { rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isCode } from "../../src/base/errors.ts";
import { callAgent } from "../../src/rpc/client.ts";
import type { CniAnswer, CniCall } from "../../src/rpc/methods.ts";

/**
 * Milliseconds. An agent that is being replaced is away for a few seconds, and "not available" makes kubelet call the node
 * NotReady, which takes its pods out of Services although nothing is wrong with them. More than 25 s must not pass: kubelet
 * asks every 5 s, and calls a runtime dead that has not answered for 30 s (Kubernetes 1.36, pkg/kubelet/runtime.go).
 */
const usualPatience = 20_000;
const pauseMs = 200;

/** When a STATUS first found nobody. Beside the socket, in /run: a machine that has just booted waits for nobody. */
export const absenceNote = (socket: string): string => join(dirname(socket), "agent-away");

/**
 * STATUS, asked again until the agent answers or has been away for too long: an absence is waited for once, not at each
 * call, for kubelet asks several times while it starts, and does not register before it has its answers.
 * @param cause why the agent did not answer the first time.
 * @throws what kept it from answering the last time.
 */
export function askStatusAgain(
  call: CniCall,
  socket: string,
  cause: unknown,
  patience: number = usualPatience,
): CniAnswer {
  const note = absenceNote(socket);
  const deadline = awaySince(note) + patience;
  let last = cause;
  while (!isCode(last, "denied") && Date.now() + pauseMs < deadline) {
    Bun.sleepSync(pauseMs);
    try {
      const answer = callAgent("cni", call, { path: socket, timeout: Math.max(pauseMs, deadline - Date.now()) });
      rmSync(note, { force: true });
      return answer;
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

/** Wall-clock milliseconds; now, where this call is the first to notice; long ago, where no agent has run since the boot. */
function awaySince(note: string): number {
  try {
    writeFileSync(note, "", { flag: "wx", mode: 0o600 });
  } catch {
    // It is there already, or there is no folder.
  }
  return Math.min(Date.now(), statSync(note, { throwIfNoEntry: false })?.mtimeMs ?? 0);
}
