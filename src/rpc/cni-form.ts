import { TwillError } from "../base/errors.ts";
import type { CniAnswer, CniCall } from "./methods.ts";

/**
 * The request `cni` and its answer in the launcher's form (docs/design/cni-launcher.md), which can be written and read without
 * a parser. In a frame (kernel/frame.ts):
 *
 *     request   1, then each variable as "NAME=value" and a NUL, then a NUL, then the configuration as it came
 *     answer    1, then the exit status (u8), then what is to be printed
 *
 * The first byte is the form's version, and tells it from JSON, which begins with a brace. A connection has one such call: the
 * agent closes it behind its answer. Whatever is wrong with a request is answered in JSON, as any other's.
 */
export const cniForm = 1;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
/** The launcher sends up to 16. */
const mostVariables = 64;

export const isCniForm = (bytes: Uint8Array): boolean => bytes[0] === cniForm;

/** @throws TwillError `corrupt`. */
export function decodeCniCall(bytes: Uint8Array): CniCall {
  const variables: Record<string, string> = {};
  let at = 1;
  for (let count = 0; ; count++) {
    const end = bytes.indexOf(0, at);
    if (end < 0 || count > mostVariables) throw corrupt("its variables do not end");
    if (end === at) break;
    const variable = decode(bytes.subarray(at, end));
    const equals = variable.indexOf("=");
    if (equals < 1) throw corrupt("a variable without a name");
    // As getenv(3): the first of a name counts.
    const name = variable.slice(0, equals);
    if (!Object.hasOwn(variables, name)) variables[name] = variable.slice(equals + 1);
    at = end + 1;
  }
  return { variables, config: decode(bytes.subarray(at + 1)) };
}

export function encodeCniCall({ variables, config }: CniCall): Uint8Array {
  const written = Object.entries(variables).map(([name, value]) => `${name}=${value}\0`);
  return encoder.encode(`${String.fromCharCode(cniForm)}${written.join("")}\0${config}`);
}

/** What is printed ends with a line break. */
export function encodeCniAnswer({ status, stdout }: CniAnswer): Uint8Array {
  const printed = encoder.encode(stdout === "" ? "" : `${stdout}\n`);
  const bytes = new Uint8Array(2 + printed.length);
  bytes[0] = cniForm;
  bytes[1] = status;
  bytes.set(printed, 2);
  return bytes;
}

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw corrupt("it is not UTF-8");
  }
}

const corrupt = (what: string): TwillError => new TwillError("corrupt", `a call of the CNI launcher: ${what}`);
