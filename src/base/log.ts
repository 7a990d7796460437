import { type Clock, systemClock } from "./clock.ts";
import { describeError, TwillError } from "./errors.ts";

export const levels = ["trace", "debug", "info", "warn", "error"] as const;
export type Level = (typeof levels)[number];
export type Fields = Readonly<Record<string, unknown>>;

/** One log of a process. Its level can change at run time; children share it. */
export interface Log {
  trace(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  enabled(level: Level): boolean;
  /** A log that adds fields to each line. */
  with(fields: Fields): Log;
}

export interface LogOptions {
  readonly level?: Level;
  readonly format?: "text" | "json";
  readonly clock?: Clock;
  readonly write?: (line: string) => void;
}

export interface RootLog extends Log {
  level(): Level;
  setLevel(level: Level): void;
}

export function createLog(options: LogOptions = {}): RootLog {
  const clock = options.clock ?? systemClock;
  const write = options.write ?? ((line: string) => process.stderr.write(`${line}\n`));
  const format = options.format === "json" ? jsonLine : textLine;
  let threshold = levels.indexOf(options.level ?? "info");

  const child = (bound: Fields): Log => {
    const emit = (level: Level) => (message: string, fields?: Fields) => {
      if (levels.indexOf(level) < threshold) return;
      write(format(clock.now(), level, message, { ...bound, ...fields }));
    };
    return {
      trace: emit("trace"),
      debug: emit("debug"),
      info: emit("info"),
      warn: emit("warn"),
      error: emit("error"),
      enabled: (level) => levels.indexOf(level) >= threshold,
      with: (fields) => child({ ...bound, ...fields }),
    };
  };

  return {
    ...child({}),
    level: () => levels[threshold] ?? "info",
    setLevel: (level) => {
      threshold = levels.indexOf(level);
    },
  };
}

export const silentLog: Log = createLog({ write: () => {} });

const plain = (value: unknown): unknown => (value instanceof Error ? describeError(value) : value);

function jsonLine(now: number, level: Level, message: string, fields: Fields): string {
  const entries = Object.entries(fields).map(([key, value]) => [key, plain(value)] as const);
  const code = Object.values(fields).find((value) => value instanceof TwillError);
  return JSON.stringify({
    time: new Date(now).toISOString(),
    level,
    message,
    ...Object.fromEntries(entries),
    ...(code instanceof TwillError ? { code: code.code } : {}),
  });
}

/** Values with spaces, quotes or control characters are quoted, so that a line stays a line whatever a pod is called. */
function textLine(now: number, level: Level, message: string, fields: Fields): string {
  const pairs = Object.entries(fields).map(([key, value]) => {
    const shown = plain(value);
    const text = typeof shown === "string" ? shown : (JSON.stringify(shown) ?? "undefined");
    return `${key}=${/^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text)}`;
  });
  const safe = /\p{Cc}/u.test(message) ? JSON.stringify(message) : message;
  return [new Date(now).toISOString(), level.toUpperCase().padEnd(5), safe, ...pairs].join(" ");
}
