import { isCode } from "../../src/base/errors.ts";
import { callAgent } from "../../src/rpc/client.ts";
import type { CniAnswer, CniCall } from "../../src/rpc/methods.ts";

/**
 * Milliseconds. An agent that is being replaced is away for a few seconds, and "not available" makes kubelet call the node
 * NotReady, which takes its pods out of Services although nothing is wrong with them. More than 25 s must not pass: kubelet
 * asks every 5 s, and calls a runtime dead that has not answered for 30 s (Kubernetes 1.36, pkg/kubelet/runtime.go).
 */
const usualPatience = 15_000;
const pauseMs = 200;

/**
 * STATUS, asked again until the agent answers. @param cause why it did not the first time.
 * @throws what kept it from answering the last time.
 */
export function askStatusAgain(
  call: CniCall,
  socket: string,
  cause: unknown,
  patience: number = usualPatience,
): CniAnswer {
  const deadline = performance.now() + patience;
  let last = cause;
  while (!isCode(last, "denied") && performance.now() + pauseMs < deadline) {
    Bun.sleepSync(pauseMs);
    try {
      return callAgent("cni", call, { path: socket, timeout: deadline - performance.now() });
    } catch (error) {
      last = error;
    }
  }
  throw last;
}
