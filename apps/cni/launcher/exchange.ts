import { add, at, branch, call, jump, label, load, move, type Program, set, store, subtract } from "./instruction.ts";
import { answerSize, cniForm, largestFrame, vectorSize } from "./memory.ts";

/** include/uapi/asm-generic/errno-base.h */
const EINTR = 4;
const EAGAIN = 11;
/** include/linux/socket.h, include/uapi/asm-generic/poll.h */
const MSG_NOSIGNAL = 0x4000;
const POLLIN = 1;
const POLLOUT = 4;
/** A frame's length (src/kernel/frame.ts) and the form's first byte. */
const headerLength = 5;
const lengthLength = 4;

/** Waits until the socket is ready. Linux takes the time that has gone by off the time we gave, so one limit holds for all waits. */
const wait = (name: string, events: number, onError: string): Program => [
  label(name),
  load("f", 8, at("socket")),
  store("f", 4, at("poll")),
  set("f", events),
  store("f", 2, at("poll"), 4),
  call("ppoll", at("poll"), 1, at("patience"), 0, 8),
  branch("result", "==", -EINTR, name),
  branch("result", "==", 0, "timed out"),
  branch("result", "<", 0, onError),
];

/**
 * Sends the call in the form of src/rpc/cni-form.ts, with the namespace's descriptor. Until the last byte is out the agent cannot
 * have acted, so every failure here means that it may be asked again.
 */
export function sendCall(): Program {
  const [vector, rest, length, socket, base] = ["a", "b", "c", "d", "e"] as const;
  const addVector = (address: ReturnType<typeof at>): Program => [
    set("e", address),
    store("e", 8, vector),
    store(length, 8, vector, 8),
    add(vector, vectorSize),
  ];
  return [
    load(vector, 8, at("next vector")),
    set(length, 1),
    ...addVector(at("end of variables")),
    load(length, 8, at("configuration length")),
    ...addVector(at("configuration")),
    store(vector, 8, at("next vector")),
    set(vector, at("vectors")),
    set(length, headerLength),
    ...addVector(at("frame header")),

    // The frame's length: all vectors but the header, and the form.
    set(rest, 1),
    load("e", 8, at("next vector")),
    label("count"),
    load(length, 8, vector, 8),
    add(rest, length),
    add(vector, vectorSize),
    branch(vector, "!=", "e", "count"),
    branch(rest, ">", largestFrame, "ask"),
    store(rest, 4, at("frame header")),
    set(length, cniForm),
    store(length, 1, at("frame header"), lengthLength),
    add(rest, lengthLength),

    set(base, at("vectors")),
    store(base, 8, at("message"), 16),
    subtract(vector, base),
    // struct msghdr counts vectors, of 16 bytes each.
    set(length, 0),
    label("count vectors"),
    add(length, 1),
    subtract(vector, vectorSize),
    branch(vector, "!=", 0, "count vectors"),
    store(length, 8, at("message"), 24),

    load(socket, 8, at("socket")),
    label("send"),
    call("sendmsg", socket, at("message"), MSG_NOSIGNAL),
    branch("result", "==", -EINTR, "send"),
    branch("result", "==", -EAGAIN, "wait for room"),
    branch("result", "<=", 0, "ask"),
    subtract(rest, "result"),
    branch(rest, "==", 0, "sent"),
    // The descriptor went with the first bytes.
    set(length, 0),
    store(length, 8, at("message"), 32),
    store(length, 8, at("message"), 40),
    load(vector, 8, at("message"), 16),
    label("skip what is sent"),
    load(length, 8, vector, 8),
    branch("result", "<", length, "sent in part"),
    subtract("result", length),
    add(vector, vectorSize),
    load(base, 8, at("message"), 24),
    subtract(base, 1),
    store(base, 8, at("message"), 24),
    jump("skip what is sent"),
    label("sent in part"),
    load(base, 8, vector),
    add(base, "result"),
    store(base, 8, vector),
    subtract(length, "result"),
    store(length, 8, vector, 8),
    store(vector, 8, at("message"), 16),
    jump("send"),

    ...wait("wait for room", POLLOUT, "ask"),
    jump("send"),
    label("sent"),
  ];
}

/** Reads the whole answer before anything of it is printed: half of one could not be taken back. */
export function receiveAnswer(): Program {
  const [cursor, room, value, got, socket] = ["a", "b", "c", "d", "e"] as const;
  return [
    set(cursor, at("answer")),
    set(room, answerSize),
    load(socket, 8, at("socket")),
    ...wait("wait for the answer", POLLIN, "hung up"),
    call("read", socket, cursor, room),
    branch("result", "==", -EINTR, "wait for the answer"),
    branch("result", "==", -EAGAIN, "wait for the answer"),
    branch("result", "<=", 0, "hung up"), // also where there is no room left
    add(cursor, "result"),
    subtract(room, "result"),
    set(value, at("answer")),
    move(got, cursor),
    subtract(got, value),
    branch(got, "<", headerLength, "wait for the answer"),
    load(value, 1, at("answer"), lengthLength),
    // An error, in JSON: the agent is too old for this form, or is starting; it has done nothing.
    branch(value, "!=", cniForm, "ask"),
    load(value, 4, at("answer")),
    branch(value, "<", 2, "hung up"),
    add(value, lengthLength),
    branch(got, "<", value, "wait for the answer"),

    // Form and status, then what is to be printed.
    set(cursor, at("answer")),
    add(cursor, headerLength + 1),
    subtract(value, headerLength + 1),
    label("print"),
    branch(value, "==", 0, "printed"),
    call("write", 1, cursor, value),
    branch("result", "==", -EINTR, "print"),
    branch("result", "<=", 0, "printed"), // nobody reads any more
    add(cursor, "result"),
    subtract(value, "result"),
    jump("print"),
    label("printed"),
    load(value, 1, at("answer"), headerLength),
    call("exit_group", value),
  ];
}
