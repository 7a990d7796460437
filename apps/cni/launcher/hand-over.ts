import { programName } from "./contract.ts";
import {
  add,
  at,
  branch,
  call,
  jump,
  label,
  load,
  move,
  type Program,
  set,
  store,
  subtract,
  word,
} from "./instruction.ts";
import { constants, pathSize } from "./memory.ts";

const EINTR = 4;
const AT_FDCWD = -100;
/** include/uapi/linux/memfd.h, include/uapi/linux/fs.h */
const MFD_CLOEXEC = 1;
const SEEK_SET = 0;

/**
 * Becomes the program beside the launcher, with the same variables, and standard input as the runtime gave it: what has been
 * read of it stands in a file in memory instead.
 */
export function handOver(): Program {
  const [reason, rest, cursor, file, byte] = ["f", "a", "b", "c", "d"] as const;
  return [
    label("ask"),
    set(reason, at("reason ask")),
    jump("give the input back"),
    label("hung up"),
    set(reason, at("reason hung up")),
    jump("give the input back"),
    label("timed out"),
    set(reason, at("reason timed out")),

    label("give the input back"),
    load(rest, 8, at("configuration length")),
    branch(rest, "==", 0, "start"), // nothing was read: it may be closed, and shall stay so
    call("memfd_create", at("memfd name"), MFD_CLOEXEC),
    branch("result", "<=", 0, "broken"),
    move(file, "result"),
    set(cursor, at("configuration")),
    label("write the input"),
    call("write", file, cursor, rest),
    branch("result", "==", -EINTR, "write the input"),
    branch("result", "<=", 0, "broken"),
    add(cursor, "result"),
    subtract(rest, "result"),
    branch(rest, "!=", 0, "write the input"),
    call("lseek", file, 0, SEEK_SET),
    call("dup3", file, 0, 0),
    branch("result", "!=", 0, "broken"),
    jump("start"),

    label("ask unread"),
    set(reason, at("reason ask")),

    label("start"),
    // By the file that runs, symbolic links resolved, whatever name it was called by.
    call("readlinkat", AT_FDCWD, at("proc self exe"), at("path"), pathSize),
    branch("result", "<=", 0, "broken"),
    set(cursor, at("path")),
    add(cursor, "result"),
    label("back to the slash"),
    subtract(cursor, 1),
    load(byte, 1, cursor),
    branch(byte, "!=", word("/"), "back to the slash"), // the path is absolute
    set(byte, word(programName)), // and zeros behind it
    store(byte, 8, cursor, 1),
    set(byte, at("own name")),
    store(byte, 8, at("arguments")),
    store(reason, 8, at("arguments"), 8),
    load(byte, 8, at("environment")),
    call("execve", at("path"), at("arguments"), byte),

    label("broken"),
    call("write", 1, at("broken message"), constants["broken message"].length),
    call("exit_group", 1),
  ];
}
