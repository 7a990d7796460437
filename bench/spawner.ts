import { dlopen, FFIType, ptr } from "bun:ffi";

/**
 * Starts programs and waits for their end with nothing of Bun's between: posix_spawn(3) and wait4(2), both called
 * directly. Bun.spawn would add an event loop's turn and threads of its own to every measurement, and on a loaded machine
 * more to the side whose process is shorter. The child is started in the network namespace of the calling thread.
 */
const { i32, ptr: pointer } = FFIType;
const { symbols: libc } = dlopen("libc.so.6", {
  posix_spawn: { args: [pointer, pointer, pointer, pointer, pointer, pointer], returns: i32 },
  posix_spawn_file_actions_init: { args: [pointer], returns: i32 },
  posix_spawn_file_actions_destroy: { args: [pointer], returns: i32 },
  posix_spawn_file_actions_addopen: { args: [pointer, i32, pointer, i32, i32], returns: i32 },
  wait4: { args: [i32, pointer, i32, pointer], returns: i32 },
});

/** x86-64 and arm64 alike (asm-generic/fcntl.h): O_WRONLY | O_CREAT | O_TRUNC. */
const truncate = 0o1101;
/** Larger than glibc's posix_spawn_file_actions_t (80 bytes) and musl's. */
const fileActionsSize = 256;

/** struct rusage: ru_utime and ru_stime, seconds and microseconds each, and 14 words more. */
const rusageWords = 18;

export interface Command {
  readonly program: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Paths of files. */
  readonly stdin: string;
  readonly stdout: string;
}

export interface Ended {
  readonly command: Command;
  /** From before posix_spawn to behind wait4. */
  readonly milliseconds: number;
  /** Processor time in milliseconds, with that of its own children. */
  readonly processor: number;
  /** As of wait4: 0 is success. */
  readonly status: number;
}

/** Everything that posix_spawn reads, in memory that stays where it is until the process has been started. */
interface Prepared {
  readonly command: Command;
  readonly program: Uint8Array;
  readonly argv: BigUint64Array;
  readonly envp: BigUint64Array;
  readonly actions: Uint8Array;
  readonly keep: readonly Uint8Array[];
}

const cString = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

function pointers(strings: readonly Uint8Array[]): BigUint64Array {
  return BigUint64Array.from([...strings.map((bytes) => BigInt(ptr(bytes))), 0n]);
}

function prepare(command: Command): Prepared {
  const program = cString(command.program);
  const variables = Object.entries(command.environment).map(([name, value]) => cString(`${name}=${value}`));
  const [stdin, stdout] = [cString(command.stdin), cString(command.stdout)];
  const actions = new Uint8Array(fileActionsSize);
  libc.posix_spawn_file_actions_init(actions);
  libc.posix_spawn_file_actions_addopen(actions, 0, stdin, 0, 0);
  libc.posix_spawn_file_actions_addopen(actions, 1, stdout, truncate, 0o600);
  return {
    command,
    program,
    argv: pointers([program]),
    envp: pointers(variables),
    actions,
    keep: [...variables, stdin, stdout],
  };
}

/** Starts all of them one directly after another, then waits for all. In the order in which they ended. */
export function runTogether(commands: readonly Command[]): Ended[] {
  const prepared = commands.map(prepare);
  const started = new Map<number, { readonly command: Command; readonly at: number }>();
  const pid = new Int32Array(1);
  for (const { command, program, argv, envp, actions } of prepared) {
    const at = performance.now();
    const errno = libc.posix_spawn(pid, program, actions, null, argv, envp);
    if (errno !== 0) throw new Error(`cannot start ${command.program}: errno ${errno}`);
    started.set(pid[0] ?? 0, { command, at });
  }
  const ended: Ended[] = [];
  const status = new Int32Array(1);
  const usage = new BigInt64Array(rusageWords);
  while (started.size > 0) {
    const gone = libc.wait4(-1, status, 0, usage);
    const now = performance.now();
    if (gone < 0) continue; // interrupted
    const child = started.get(gone);
    if (child === undefined) throw new Error(`process ${gone} ended, which the benchmark relies on`);
    started.delete(gone);
    const microseconds = [0, 1].map((time) => Number(usage[2 * time] ?? 0n) * 1e6 + Number(usage[2 * time + 1] ?? 0n));
    const processor = microseconds.reduce((sum, time) => sum + time, 0) / 1000;
    ended.push({ command: child.command, milliseconds: now - child.at, processor, status: status[0] ?? -1 });
  }
  for (const { actions } of prepared) libc.posix_spawn_file_actions_destroy(actions);
  return ended;
}
