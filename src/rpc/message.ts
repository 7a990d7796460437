import { type ErrorCode, TwillError } from "../base/errors.ts";

/**
 * Messages of the agent's socket: JSON in a frame (kernel/frame.ts).
 *
 *     request   {"twill": 1, "method": "logLevel", "params": {"level": "debug"}}
 *     answer    {"twill": 1, "result": {"level": "debug"}}
 *     or        {"twill": 1, "error": {"code": "invalid", "message": "…", "remedy": "…"}}
 *
 * The CNI launcher, which cannot speak JSON, has a form of its own (cni-form.ts).
 *
 * Plugin, CLI and agent are installed together but not replaced in one moment, so the number changes only with what an older
 * one could not understand; a new method or field does not count.
 */
export const protocolVersion = 1;

export interface RequestMessage {
  readonly method: string;
  readonly params: unknown;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

const encode = (body: object): Uint8Array => encoder.encode(JSON.stringify({ twill: protocolVersion, ...body }));

export const encodeRequest = ({ method, params }: RequestMessage): Uint8Array => encode({ method, params });
export const encodeResult = (result: unknown): Uint8Array => encode({ result });

export function encodeError(error: unknown): Uint8Array {
  if (!(error instanceof TwillError)) {
    const message = error instanceof Error ? error.message : String(error);
    return encode({ error: { code: "internal" satisfies ErrorCode, message } });
  }
  const { code, message, operation, object, remedy, errno } = error;
  return encode({ error: { code, message, operation, object, remedy, errno } });
}

/** @throws TwillError `corrupt`; `unsupported` for another version of the protocol. */
export function decodeRequest(bytes: Uint8Array): RequestMessage {
  const { method, params } = decode(bytes);
  if (typeof method !== "string") throw new TwillError("corrupt", "a request without a method");
  return { method, params: params ?? {} };
}

/** @returns the result. @throws the error that was answered; `corrupt`, `unsupported`. */
export function decodeAnswer(bytes: Uint8Array): unknown {
  const body = decode(bytes);
  if ("error" in body) throw readError(body.error);
  if (!("result" in body)) throw new TwillError("corrupt", "an answer with neither result nor error");
  return body.result;
}

function decode(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let body: unknown;
  try {
    body = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new TwillError("corrupt", "a message that is not JSON", { cause });
  }
  if (typeof body !== "object" || body === null || !("twill" in body)) {
    throw new TwillError("corrupt", "a message that is not Twill's");
  }
  if (body.twill !== protocolVersion) {
    const spoken = JSON.stringify(body.twill)?.slice(0, 20);
    throw new TwillError("unsupported", `the other side speaks version ${spoken}, not ${protocolVersion}`, {
      operation: "read message",
      remedy: "restart the agent, so that it and the other programs are of one version",
    });
  }
  return body as Readonly<Record<string, unknown>>;
}

const codes: readonly ErrorCode[] = [
  "invalid",
  "not-found",
  "exists",
  "conflict",
  "exhausted",
  "unavailable",
  "unsupported",
  "denied",
  "kernel",
  "io",
  "corrupt",
  "internal",
];

function readError(value: unknown): TwillError {
  const fields: Readonly<Record<string, unknown>> = typeof value === "object" && value !== null ? { ...value } : {};
  const text = (name: string) => (typeof fields[name] === "string" ? { [name]: fields[name] } : {});
  const code = codes.find((known) => known === fields.code) ?? "internal";
  const message = typeof fields.message === "string" ? fields.message : "an error without a message";
  const errno = typeof fields.errno === "number" ? { errno: fields.errno } : {};
  return new TwillError(code, message, { ...text("operation"), ...text("object"), ...text("remedy"), ...errno });
}
