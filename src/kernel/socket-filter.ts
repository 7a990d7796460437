import { ptr } from "bun:ffi";
import { TwillError } from "../base/errors.ts";
import { type BpfProgram, encodeBpf } from "../wire/bpf.ts";
import { SOL_SOCKET, setOption } from "./socket.ts";

/** include/uapi/asm-generic/socket.h */
const SO_ATTACH_FILTER = 26;

/** What the program refuses never reaches the socket's buffer. @throws TwillError `invalid` when the kernel refuses the program. */
export function attachFilter(fd: number, program: BpfProgram): void {
  const steps = encodeBpf(program);
  // struct sock_fprog: the number of steps, then, at the next 8 bytes, their address; `steps` is held until the call is over.
  const fprog = new BigUint64Array([BigInt(program.length), BigInt(ptr(steps))]);
  try {
    setOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(fprog.buffer));
  } catch (cause) {
    throw new TwillError("invalid", `the kernel refuses this filter of ${steps.length / 8} steps`, {
      operation: "attach filter",
      remedy: "use a simpler filter",
      cause,
    });
  }
}
