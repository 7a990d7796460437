import { TwillError } from "../../src/base/errors.ts";
import { describeFlags, type FlagSpecs, nearest, type Parsed, parseFlags } from "../flags.ts";

/** A subcommand. Help and completion are made from this declaration. */
export interface Command<S extends FlagSpecs = FlagSpecs> {
  readonly name: string;
  /** What may stand behind the name: "nodes|subnets|endpoints|routes [NAME]". */
  readonly usage?: string;
  /** One line. */
  readonly summary: string;
  /** What a newcomer should know, with examples that work. */
  readonly help?: string;
  readonly flags?: S;
  /** Words that may come first, for completion. */
  readonly words?: readonly string[];
  readonly subcommands?: readonly Command[];
  /** Called by ourselves, not by people: in no help and no completion. */
  readonly hidden?: true;
  /** @returns the exit status. */
  run?(parsed: Parsed<S>, output: Output): Promise<number> | number;
}

export interface Output {
  out(text: string): void;
  error(text: string): void;
  /** Columns of the terminal, or undefined when the output goes elsewhere. */
  readonly columns: number | undefined;
  readonly colour: boolean;
}

/** Keeps the flags' types inside the declaration. */
export const command = <const S extends FlagSpecs>(declared: Command<S>): Command => declared as unknown as Command;

export async function runCommand(root: Command, argv: readonly string[], output: Output): Promise<number> {
  let current = root;
  let path = root.name;
  let rest = [...argv];
  while (current.subcommands !== undefined) {
    const word = rest[0];
    if (word === undefined || word === "--help" || word === "help") {
      output.out(describe(current, path));
      return word === undefined && current !== root ? 2 : 0;
    }
    const next = current.subcommands.find((candidate) => candidate.name === word);
    if (next === undefined) throw unknownCommand(word, current, path);
    current = next;
    path = `${path} ${word}`;
    rest = rest.slice(1);
  }
  const beforeDashes = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
  if (beforeDashes.includes("--help")) {
    output.out(describe(current, path));
    return 0;
  }
  if (current.run === undefined) throw new TwillError("internal", `${path} does nothing`);
  return await current.run(parseFlags(current.flags ?? {}, rest), output);
}

export const visible = (parent: Command): readonly Command[] =>
  (parent.subcommands ?? []).filter((sub) => sub.hidden !== true);

function unknownCommand(word: string, parent: Command, path: string): TwillError {
  const names = visible(parent).map((candidate) => candidate.name);
  const near = nearest(word, names);
  return new TwillError("invalid", `${path}: unknown command "${word}"`, {
    remedy: near === undefined ? `there are ${names.join(", ")}` : `did you mean "${near}"?`,
  });
}

export function describe(command: Command, path: string): string {
  const lines = [`${command.summary}\n`, "Usage:", `  ${path}${usage(command)}\n`];
  if (command.subcommands !== undefined) {
    const width = Math.max(...visible(command).map((sub) => sub.name.length)) + 3;
    lines.push("Commands:", ...visible(command).map((sub) => `  ${sub.name.padEnd(width)}${sub.summary}`), "");
    lines.push(`${path} COMMAND --help tells more.\n`);
  }
  if (command.flags !== undefined && Object.keys(command.flags).length > 0)
    lines.push("Flags:", describeFlags(command.flags));
  if (command.help !== undefined) lines.push(`${command.help.trim()}\n`);
  return lines.join("\n");
}

function usage(command: Command): string {
  if (command.subcommands !== undefined) return " COMMAND";
  const words = command.usage === undefined ? "" : ` ${command.usage}`;
  return command.flags === undefined ? words : `${words} [flags]`;
}
