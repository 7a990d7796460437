/** A word of a command line, as Go's package flag reads it. */
export interface GoFlag {
  /** Without dashes; undefined for a word that is no flag. */
  readonly name: string | undefined;
  readonly value: string;
  /** Behind the first word that is no flag, where Go stops reading. */
  readonly unread: boolean;
}

/** One or two dashes; a boolean's value only behind "="; the first word that is no flag, and "--", end the flags. */
export function parseGoFlags(words: readonly string[], booleans: ReadonlySet<string>): readonly GoFlag[] {
  const flags: GoFlag[] = [];
  let unread = false;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    const [, name, value] = /^--?([^-=][^=]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    if (name === undefined) {
      flags.push({ name: undefined, value: word, unread });
      unread = true;
      continue;
    }
    if (value !== undefined || booleans.has(name)) {
      flags.push({ name, value: value ?? "true", unread });
      continue;
    }
    const next = words[index + 1];
    // An unknown flag may be a boolean: what looks like a flag is not taken for its value.
    const taken = next !== undefined && !next.startsWith("-");
    flags.push({ name, value: taken ? next : "", unread });
    if (taken) index++;
  }
  return flags;
}

/** strconv.ParseBool. */
export function goBoolean(text: string): boolean | undefined {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  return ["0", "f", "F", "false", "FALSE", "False"].includes(text) ? false : undefined;
}
