import { describeError, TwillError } from "../src/base/errors.ts";

/**
 * Flags of a program, declared once: parsing, environment variables, --help and shell completion all come from the
 * declaration. `--flag value` and `--flag=value`; a boolean takes no value but may be given one (`--ip-masq=false`).
 */
export interface FlagSpec<T> {
  readonly kind: "text" | "number" | "boolean" | "list";
  /** What the reader of --help sees as the value: "FILE". */
  readonly value?: string;
  readonly help: string;
  /** One letter: `-o`. */
  readonly letter?: string;
  /** @throws TwillError saying what would be right. */
  readonly parse: (text: string) => T;
  readonly fallback: T;
}

export type FlagSpecs = Readonly<Record<string, FlagSpec<unknown>>>;
export type FlagValues<S extends FlagSpecs> = { readonly [K in keyof S]: S[K] extends FlagSpec<infer T> ? T : never };

export interface Parsed<S extends FlagSpecs> {
  readonly flags: FlagValues<S>;
  /** Names of flags that were given, on the command line or by the environment. */
  readonly given: ReadonlySet<string>;
  /** What is not a flag, in order. */
  readonly rest: readonly string[];
  /** Everything after `--`. */
  readonly after: readonly string[] | undefined;
}

export const text = (fallback: string, help: string, value = "TEXT"): FlagSpec<string> => ({
  kind: "text",
  value,
  help,
  fallback,
  parse: (given) => given,
});

export const optional = (help: string, value = "TEXT"): FlagSpec<string | undefined> => ({
  kind: "text",
  value,
  help,
  fallback: undefined,
  parse: (given) => given,
});

export const boolean = (fallback: boolean, help: string): FlagSpec<boolean> => ({
  kind: "boolean",
  help,
  fallback,
  parse: (given) => {
    if (given === "" || given === "true" || given === "1") return true;
    if (given === "false" || given === "0") return false;
    throw new TwillError("invalid", `"${given}" is neither true nor false`);
  },
});

export const number = (
  fallback: number,
  help: string,
  range: readonly [number, number] = [0, Number.MAX_SAFE_INTEGER],
): FlagSpec<number> => ({
  kind: "number",
  value: "N",
  help,
  fallback,
  parse: (given) => {
    const value = /^\d+$/.test(given) ? Number(given) : Number.NaN;
    if (!(value >= range[0] && value <= range[1])) {
      throw new TwillError("invalid", `"${given}" is not a whole number from ${range[0]} to ${range[1]}`);
    }
    return value;
  },
});

export function choice<const C extends readonly string[]>(
  fallback: C[number],
  choices: C,
  help: string,
): FlagSpec<C[number]> {
  return {
    kind: "text",
    value: choices.join("|"),
    help,
    fallback,
    parse: (given) => {
      if (!choices.includes(given)) throw new TwillError("invalid", `"${given}" is none of ${choices.join(", ")}`);
      return given;
    },
  };
}

/** May be repeated, or given once with commas. */
export const list = (help: string, value = "TEXT"): FlagSpec<readonly string[]> => ({
  kind: "list",
  value,
  help,
  fallback: [],
  parse: (given) => given.split(",").filter((part) => part !== ""),
});

/** The same flag with a one-letter form. */
export const withLetter = <T>(letter: string, spec: FlagSpec<T>): FlagSpec<T> => ({ ...spec, letter });

const flagName = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const environmentName = (prefix: string, key: string): string =>
  `${prefix}_${flagName(key).replaceAll("-", "_").toUpperCase()}`;

/**
 * @param environment `{prefix: "TWILL", variables: process.env}`: a flag `--iface` may then also be given as TWILL_IFACE.
 * @throws TwillError `invalid` naming the flag, the value and what would be right.
 */
export function parseFlags<S extends FlagSpecs>(
  specs: S,
  argv: readonly string[],
  environment?: { readonly prefix: string; readonly variables: Readonly<Record<string, string | undefined>> },
): Parsed<S> {
  const values: Record<string, unknown> = {};
  const given = new Set<string>();
  const byName = new Map(Object.keys(specs).map((key) => [flagName(key), key]));
  const byLetter = new Map(
    Object.entries(specs).flatMap(([key, { letter }]) =>
      letter === undefined ? [] : [[letter, flagName(key)] as const],
    ),
  );
  for (const [key, spec] of Object.entries(specs)) {
    values[key] = spec.fallback;
    if (environment === undefined) continue;
    const name = environmentName(environment.prefix, key);
    const variable = environment.variables[name];
    if (variable === undefined) continue;
    values[key] = parseOne(spec, variable, name);
    given.add(key);
  }

  const rest: string[] = [];
  const fromLine = new Set<string>();
  let after: readonly string[] | undefined;
  for (let index = 0; index < argv.length; index++) {
    const word = longForm(argv[index] ?? "", byLetter);
    if (word === "--") {
      after = argv.slice(index + 1);
      break;
    }
    if (!word.startsWith("--")) {
      rest.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const key = byName.get(name);
    const spec = key === undefined ? undefined : specs[key];
    if (key === undefined || spec === undefined) throw unknownFlag(name, [...byName.keys()]);
    let value = equals < 0 ? "" : word.slice(equals + 1);
    if (equals < 0 && spec.kind !== "boolean") {
      const next = argv[index + 1];
      if (next === undefined || next.startsWith("--")) {
        throw new TwillError("invalid", `--${name} needs a value`, {
          remedy: `write --${name} ${spec.value ?? "VALUE"}`,
        });
      }
      value = next;
      index++;
    }
    const parsed = parseOne(spec, value, `--${name}`);
    values[key] =
      spec.kind === "list" && fromLine.has(key) ? [...(values[key] as string[]), ...(parsed as string[])] : parsed;
    fromLine.add(key);
    given.add(key);
  }
  return { flags: values as FlagValues<S>, given, rest, after };
}

/** "-o" and "-ojson" as "--output" and "--output=json"; "-" alone is a file name, a negative number is a value. */
function longForm(word: string, byLetter: ReadonlyMap<string, string>): string {
  if (!/^-[A-Za-z]/.test(word)) return word;
  const name = byLetter.get(word.charAt(1));
  if (name === undefined) return `-${word}`;
  const value = word.slice(2).replace(/^=/, "");
  return value === "" ? `--${name}` : `--${name}=${value}`;
}

function parseOne(spec: FlagSpec<unknown>, value: string, name: string): unknown {
  try {
    return spec.parse(value);
  } catch (error) {
    throw new TwillError("invalid", `${name}: ${describeError(error)}`);
  }
}

function unknownFlag(name: string, known: readonly string[]): TwillError {
  const near = nearest(name, known);
  return new TwillError("invalid", `unknown flag --${name}`, {
    remedy: near === undefined ? "--help lists the flags" : `did you mean --${near}?`,
  });
}

/** The known word closest to what was typed, if it is close at all. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const scored = known.map((candidate) => ({ candidate, distance: editDistance(word, candidate) }));
  scored.sort((a, b) => a.distance - b.distance);
  const best = scored[0];
  return best !== undefined && best.distance <= Math.max(2, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const change = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(change, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** The flags' part of --help, wrapped at 100 columns. */
export function describeFlags(specs: FlagSpecs, environmentPrefix?: string): string {
  const rows = Object.entries(specs).map(([key, spec]) => {
    const left = `  ${spec.letter === undefined ? "" : `-${spec.letter}, `}--${flagName(key)}${spec.kind === "boolean" ? "" : ` ${spec.value ?? "VALUE"}`}`;
    const fallback =
      spec.fallback === undefined ||
      spec.fallback === "" ||
      (Array.isArray(spec.fallback) && spec.fallback.length === 0);
    const shown = fallback ? "" : ` (default ${String(spec.fallback)})`;
    return [left, `${spec.help}${shown}`] as const;
  });
  const width = Math.min(34, Math.max(...rows.map(([left]) => left.length)) + 2);
  const lines = rows.map(([left, help]) => {
    const wrapped = wrap(help, 100 - width);
    const head = left.length < width ? left.padEnd(width) : `${left}\n${" ".repeat(width)}`;
    return head + wrapped.join(`\n${" ".repeat(width)}`);
  });
  const note =
    environmentPrefix === undefined
      ? ""
      : `\nEach flag can also be given as ${environmentPrefix}_<FLAG> in the environment.\n`;
  return `${lines.join("\n")}\n${note}`;
}

export const flagNames = (specs: FlagSpecs): string[] => Object.keys(specs).map((key) => `--${flagName(key)}`);

function wrap(sentence: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of sentence.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
