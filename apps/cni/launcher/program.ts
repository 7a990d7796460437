import type { Source } from "./assemble.ts";
import { patience } from "./contract.ts";
import { receiveAnswer, sendCall } from "./exchange.ts";
import { handOver } from "./hand-over.ts";
import {
  add,
  and,
  at,
  branch,
  call,
  type Instruction,
  jump,
  label,
  load,
  move,
  type Program,
  set,
  stack,
  store,
  subtract,
  word,
} from "./instruction.ts";
import { configurationSize, constants, controlLength, lastVariable, memory, vectorSize } from "./memory.ts";
import { connectToAgent, findSocket } from "./socket-path.ts";

/**
 * The launcher: what `twill-cni` does when all is well, and nothing else. docs/design/cni-launcher.md.
 *
 * It ends in one of four ways. It has printed the agent's answer; or it becomes the program beside it, at "ask" (the agent has not
 * carried the call out), "hung up" or "timed out" (it may have), or "ask unread" (standard input has not been touched).
 *
 * Every address outside of the launcher's own memory comes from the kernel: the stack's lists, which end with 0.
 */
const EINTR = 4;
/** include/uapi/linux/fcntl.h, include/uapi/asm-generic/fcntl.h */
const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
/** include/linux/socket.h */
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

export const source: Source = {
  program: [
    ...startOfStack(),
    ...collectVariables(),
    ...chooseTime(),
    ...readConfiguration(),
    ...openNamespace(),
    ...findSocket(),
    ...connectToAgent(),
    ...sendCall(),
    ...receiveAnswer(),
    ...handOver(),
  ],
  constants,
  memory,
};

/** Leaves in `a` where the list of variables begins. */
function startOfStack(): Program {
  return [
    stack("a"),
    load("b", 8, "a"),
    // A runtime gives no arguments; the program beside us that turns out to be ourselves got one, and must not go on for ever.
    branch("b", "!=", 1, "broken"),
    add("a", 3 * 8), // the count, our name, the end of the arguments
    store("a", 8, at("environment")),
  ];
}

/** Everything that begins with CNI_ goes to the agent; the command and the namespace are looked at here as well. */
function collectVariables(): Program {
  const [list, text, start, vector, other] = ["a", "b", "c", "d", "e"] as const;
  return [
    set(vector, at("vectors")),
    add(vector, vectorSize), // the first is the frame's header
    label("next variable"),
    load(text, 8, list),
    branch(text, "==", 0, "variables are read"),
    add(list, 8),
    // Behind the last variable the kernel writes this program's path and eight zeros, so a word may be loaded at any's start.
    load(start, 8, text),
    branch(start, "==", word("TWILL_CN"), "ask unread"), // TWILL_CNI_TIMEOUT
    move(other, start),
    and(other, 0xffff_ffff),
    branch(other, "!=", word("CNI_"), "next variable"),
    set(other, at("vectors")),
    add(other, lastVariable),
    branch(vector, ">", other, "ask unread"),
    store(text, 8, vector),
    ...remember("CNI_COMMAND=", "command"),
    ...remember("CNI_NETNS=", "netns"),
    move(other, text),
    label("to the end of the variable"),
    load(start, 1, other),
    add(other, 1),
    branch(start, "!=", 0, "to the end of the variable"),
    subtract(other, text),
    store(other, 8, vector, 8),
    add(vector, vectorSize),
    jump("next variable"),
    label("variables are read"),
    store(vector, 8, at("next vector")),
  ];
}

/** The first variable of a name counts, as for getenv(3). */
function remember(name: string, memory: "command" | "netns"): Program {
  const [text, start, other] = ["b", "c", "e"] as const;
  const no = `not ${name}`;
  const rest = name.slice(8);
  return [
    branch(start, "!=", word(name.slice(0, 8)), no),
    load(other, rest.length === 4 ? 4 : 2, text, 8),
    branch(other, "!=", word(rest), no),
    load(other, 8, at(memory)),
    branch(other, "!=", 0, no),
    move(other, text),
    add(other, name.length),
    store(other, 8, at(memory)),
    label(no),
  ];
}

/** By the command: how long we wait for the agent. A command without such a time is not ours. */
function chooseTime(): Program {
  const [text, value, masked, seconds] = ["a", "b", "c", "d"] as const;
  const known = Object.entries(patience).flatMap(([name, time]): Instruction[] => [
    set(seconds, time),
    move(masked, value),
    and(masked, (1n << BigInt(8 * (name.length + 1))) - 1n), // with the NUL at its end
    branch(masked, "==", word(name), "time is known"),
  ]);
  return [
    load(text, 8, at("command")),
    branch(text, "==", 0, "ask unread"),
    load(value, 8, text),
    ...known,
    jump("ask unread"),
    label("time is known"),
    store(seconds, 8, at("patience")),
  ];
}

function readConfiguration(): Program {
  const [cursor, room, length] = ["a", "b", "c"] as const;
  return [
    set(cursor, at("configuration")),
    set(room, configurationSize),
    label("read"),
    call("read", 0, cursor, room),
    branch("result", "==", -EINTR, "read"),
    branch("result", "<=", 0, "configuration is read"), // its end, or an error that the program behind us shall see
    add(cursor, "result"),
    subtract(room, "result"),
    branch(room, "!=", 0, "read"),
    label("configuration is read"),
    set(length, at("configuration")),
    subtract(cursor, length),
    store(cursor, 8, at("configuration length")),
    branch("result", "<", 0, "ask"),
    branch(cursor, "==", 0, "ask"),
    branch(room, "==", 0, "ask"), // there may be more of it
  ];
}

/** As ancillary data of the call. Where there is nothing to open, the agent says what is missing, or for DEL that it does not matter. */
function openNamespace(): Program {
  const [path, value] = ["a", "b"] as const;
  return [
    load(path, 8, at("netns")),
    branch(path, "==", 0, "no namespace"),
    load(value, 1, path),
    branch(value, "!=", word("/"), "no namespace"),
    label("open"),
    call("openat", AT_FDCWD, path, O_CLOEXEC, 0),
    branch("result", "==", -EINTR, "open"),
    branch("result", "<", 0, "no namespace"),
    // Standard output or error was closed, and has become the namespace: nothing may be written there.
    branch("result", "<=", 2, "ask"),
    set(value, controlLength),
    store(value, 8, at("control")),
    set(value, SOL_SOCKET),
    store(value, 4, at("control"), 8),
    set(value, SCM_RIGHTS),
    store(value, 4, at("control"), 12),
    store("result", 4, at("control"), 16),
    set(value, at("control")),
    store(value, 8, at("message"), 32),
    set(value, controlLength),
    store(value, 8, at("message"), 40),
    label("no namespace"),
  ];
}
