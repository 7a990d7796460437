import { dlopen, FFIType } from "bun:ffi";

const { symbols: libc } = dlopen("libc.so.6", {
  sched_getaffinity: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  sched_setaffinity: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
});

/** sched_setaffinity(2) wants one bit for each processor; 1024 are glibc's cpu_set_t. */
const words = 16;
const first = BigUint64Array.of(1n, ...Array.from({ length: words - 1 }, () => 0n));

/**
 * Keeps this thread on the first processor during the work. Where the scheduler puts two processes that talk to each other
 * makes a factor of three; with both on one processor, what is measured is the work that a packet costs.
 */
export function onFirstProcessor<T>(work: () => T): T {
  const before = new BigUint64Array(words);
  libc.sched_getaffinity(0, before.byteLength, before);
  if (libc.sched_setaffinity(0, first.byteLength, first) !== 0) return work(); // not among ours
  try {
    return work();
  } finally {
    libc.sched_setaffinity(0, before.byteLength, before);
  }
}
