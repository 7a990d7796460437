import {
  add,
  at,
  branch,
  call,
  jump,
  label,
  load,
  move,
  or,
  type Program,
  set,
  store,
  subtract,
  word,
} from "./instruction.ts";
import { AF_UNIX, constants, longestSocketPath } from "./memory.ts";

/** include/linux/net.h; the same on x86-64 and arm64. */
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

const code = (character: string): bigint => word(character);
/** With this bit, both opening brackets of JSON are "{", and both closing ones "}". */
const bracketBit = 0x20;

/**
 * Finds the configuration's `socket`, as far as that can be done without understanding JSON: strings are told from what is
 * between them, and brackets are counted, so "socket" counts as a key of the outermost object only. With a backslash anywhere
 * (which may hide a quote, or a letter of the key), with two such keys, or with a value that is not a plain path, the call is
 * handed over. Whether it is JSON at all is for the agent to say.
 *
 * Leaves the socket's address in `a`, its length in `b`.
 */
export function findSocket(): Program {
  const [cursor, end, depth, byte, to, room] = ["a", "b", "c", "d", "e", "f"] as const;
  const nextByte = (atEnd: string): Program => [
    branch(cursor, "==", end, atEnd),
    load(byte, 1, cursor),
    add(cursor, 1),
    branch(byte, "==", code("\\"), "ask"),
  ];
  /** Over white space, to one character that must come now. */
  const expect = (character: string, name: string): Program => [
    label(name),
    ...nextByte("ask"),
    branch(byte, "==", code(" "), name),
    branch(byte, "==", code("\n"), name),
    branch(byte, "==", code("\r"), name),
    branch(byte, "==", code("\t"), name),
    branch(byte, "!=", code(character), "ask"),
  ];
  return [
    set(cursor, at("configuration")),
    load(end, 8, at("configuration length")),
    add(end, cursor),
    set(depth, 0),
    set(to, 0), // until a path has been found

    label("outside of strings"),
    ...nextByte("searched"),
    branch(byte, "==", code('"'), "string"),
    or(byte, bracketBit),
    branch(byte, "==", code("{"), "deeper"),
    branch(byte, "!=", code("}"), "outside of strings"),
    subtract(depth, 1),
    jump("outside of strings"),
    label("deeper"),
    add(depth, 1),
    jump("outside of strings"),

    label("string"),
    branch(depth, "!=", 1, "inside of a string"),
    load(byte, 8, cursor, -1),
    branch(byte, "==", word('"socket"'), "key"),
    label("inside of a string"),
    ...nextByte("ask"),
    branch(byte, "!=", code('"'), "inside of a string"),
    jump("outside of strings"),

    label("key"),
    branch(to, "!=", 0, "ask"),
    add(cursor, 'socket"'.length),
    ...expect(":", "to the colon"),
    ...expect('"', "to the path"),
    load(byte, 1, cursor),
    branch(byte, "!=", code("/"), "ask"),
    set(to, at("address")),
    set(byte, AF_UNIX),
    store(byte, 2, to),
    add(to, 2),
    set(room, longestSocketPath),
    label("inside of the path"),
    ...nextByte("ask"),
    branch(byte, "==", code('"'), "outside of strings"),
    branch(byte, "<", code(" "), "ask"), // no control character is allowed in a string, and a NUL would end the path
    branch(room, "==", 0, "ask"),
    subtract(room, 1),
    store(byte, 1, to),
    add(to, 1),
    jump("inside of the path"),

    label("searched"),
    branch(to, "!=", 0, "path of the configuration"),
    set("a", at("default address")),
    set("b", constants["default address"].length),
    jump("address is known"),
    label("path of the configuration"),
    set("a", at("address")),
    subtract(to, "a"),
    set("b", 1), // with its NUL, which the memory has
    add("b", to),
    label("address is known"),
  ];
}

export function connectToAgent(): Program {
  return [
    call("socket", AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    // Standard output or error was closed, and has become the socket: nothing may be written there.
    branch("result", "<=", 2, "ask"),
    store("result", 8, at("socket")),
    move("c", "result"),
    call("connect", "c", "a", "b"),
    branch("result", "!=", 0, "ask"),
  ];
}
