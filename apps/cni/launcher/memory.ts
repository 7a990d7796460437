import { cniForm } from "../../../src/rpc/cni-form.ts";
import { defaultSocket, programName, reasons } from "./contract.ts";

/**
 * The launcher's constants and memory. Structs as the kernel has them on both machines (include/uapi): struct iovec is
 * address, length; struct msghdr is name, name length, iov, iov count, control, control length, flags, each a 64-bit word;
 * struct pollfd is descriptor (i32), events (i16), returned events (i16); struct timespec is seconds, nanoseconds.
 */
const encoder = new TextEncoder();
const text = (value: string): Uint8Array => encoder.encode(value);
const cString = (value: string): Uint8Array => encoder.encode(`${value}\0`);

/** Said where not even the program can be started; code 5 is CNI's for I/O. */
const broken = JSON.stringify({
  cniVersion: "1.0.0",
  code: 5,
  msg: `twill-cni cannot start the program "${programName}" beside it; look whether both are there: "twill install-cni"`,
});

/** struct sockaddr_un: AF_UNIX, then the path. */
export const AF_UNIX = 1;
export const longestSocketPath = 107;

export const constants = {
  /** argv[0], by which the executable knows what it shall be. */
  "own name": cString("twill-cni"),
  "reason ask": cString(reasons.ask),
  "reason hung up": cString(reasons.hungUp),
  "reason timed out": cString(reasons.timedOut),
  "default address": Uint8Array.from([AF_UNIX, 0, ...cString(defaultSocket)]),
  /** Ends the variables. */
  "end of variables": Uint8Array.from([0]),
  "proc self exe": cString("/proc/self/exe"),
  "memfd name": cString("twill-cni stdin"),
  "broken message": text(`${broken}\n`),
} as const;

/** Bytes of a frame: the agent's limit (src/rpc/server.ts). */
export const largestFrame = 4 << 20;
/** More than fits into a frame, so that the program behind us can say what is wrong with a configuration that is too long. */
export const configurationSize = largestFrame + (64 << 10);
export const answerSize = 1 << 20;
/** struct iovec: the frame's header, up to 16 variables, what ends them, the configuration. */
export const vectorSize = 16;
const mostVariables = 16;
/** CMSG_SPACE(sizeof(int)) and CMSG_LEN(sizeof(int)). */
export const controlSize = 24;
export const controlLength = 20;
/** A path from the kernel, and the program's name behind it. */
export const pathSize = 4096;

export const memory = {
  // What the kernel reads and writes.
  vectors: vectorSize * (mostVariables + 3),
  message: 7 * 8,
  control: controlSize,
  poll: 8,
  patience: 16,
  address: 2 + longestSocketPath + 1,
  arguments: 3 * 8,
  path: pathSize + 16,
  "frame header": 8,
  // Variables, a word each.
  environment: 8,
  command: 8,
  netns: 8,
  "next vector": 8,
  "configuration length": 8,
  socket: 8,
  "frame rest": 8,
  // Large, and touched only as far as they are filled. 16 bytes more, so that words may be loaded at the very end.
  configuration: configurationSize + 16,
  answer: answerSize + 16,
} as const;

export const lastVariable = vectorSize * (mostVariables + 1);
export { cniForm };
