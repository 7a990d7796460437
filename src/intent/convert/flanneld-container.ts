import { type Draft, Flags } from "./draft.ts";
import { type ConfigMaps, expand, readEnvironment, subjectOf, type Variable } from "./environment.ts";
import {
  convertFlanneldFlag,
  flagOfVariable,
  flanneldBooleans,
  leasedAnew,
  withoutKubernetes,
} from "./flanneld-flags.ts";
import { parseGoFlags } from "./go-flags.ts";
import { listAt, type Path } from "./leaves.ts";
import type { Ledger, ObjectReader } from "./ledger.ts";

/** What a container with flanneld in it asks for: flags of the agent, and the environment that they need. */
export interface AgentSettings {
  readonly flags: Flags;
  readonly env: readonly unknown[];
}

export function convertFlanneld(object: ObjectReader, path: Path, configs: ConfigMaps, ledger: Ledger): AgentSettings {
  const variables = readEnvironment(object, path, configs, ledger);
  const flags = new Flags();
  const needed = new Set<string>();
  const given = commandLine(object, path, variables, needed, flags, ledger);
  for (const variable of variables.values()) {
    const flag = flagOfVariable(variable.name);
    if (flag === undefined) convertOther(object, variable, needed, ledger);
    else if (given.has(flag))
      ledger.note(subjectOf(object, variable), "left-out", `--${flag} is given, and goes before it`);
    else if (variable.value !== undefined) {
      given.add(flag);
      convertFlanneldFlag(flag, variable.value, subjectOf(object, variable), flags, ledger);
    } else convertOpen(object, variable, flag, needed, given, flags, ledger);
  }
  impliedFlags(object, given, flags, ledger);
  const env = [...needed].flatMap((name) => variables.get(name)?.entry ?? []);
  return { flags, env };
}

/** @returns names of the flags that were given. */
function commandLine(
  object: ObjectReader,
  path: Path,
  variables: ReadonlyMap<string, Variable>,
  needed: Set<string>,
  flags: Flags,
  ledger: Ledger,
): Set<string> {
  const words = [...listAt(object.value, [...path, "command"]), ...listAt(object.value, [...path, "args"])].map(String);
  object.claim([...path, "command"]);
  object.claim([...path, "args"]);
  const given = new Set<string>();
  const own = ownWords(words);
  if (own === undefined) {
    const subject = { object: object.title, name: "command", value: words.join(" ") };
    ledger.refuse(
      subject,
      "flanneld's flags stand inside a shell script; write them as args",
      "flanneld's defaults are taken",
    );
    return given;
  }
  for (const { name, value, unread } of parseGoFlags(own, flanneldBooleans)) {
    const subject = {
      object: object.title,
      name: name === undefined ? value : `--${name}`,
      value: name === undefined ? "" : value,
    };
    if (name === undefined || unread) {
      const reason =
        name === undefined
          ? "not a flag; flanneld reads no flags behind it"
          : "behind a word that is no flag, where flanneld does not read it";
      ledger.note(subject, "left-out", reason);
      continue;
    }
    const { text, open } = expand(value, variables);
    for (const variable of open) needed.add(variable);
    given.add(name);
    convertFlanneldFlag(name, text, subject, flags, ledger);
  }
  return given;
}

/** The words behind the program's name; undefined when a shell makes them. Without a command the image runs flanneld. */
function ownWords(words: readonly string[]): readonly string[] | undefined {
  const [program, option, script] = words;
  if (program === undefined || program.startsWith("-")) return words;
  if (/(^|\/)flanneld$/.test(program)) return words.slice(1);
  if (!/(^|\/)(ba|da)?sh$/.test(program) || option !== "-c" || script === undefined || words.length > 3)
    return undefined;
  const line = /^\s*(?:exec\s+)?\S*flanneld((?:\s+[\w./:=,@-]+)*)\s*$/.exec(script);
  return line?.[1]
    ?.trim()
    .split(/\s+/)
    .filter((word) => word !== "");
}

/** Where the API server is, the agent must know, too; of the rest only what a flag refers to. */
function convertOther(object: ObjectReader, variable: Variable, needed: Set<string>, ledger: Ledger): void {
  const subject = subjectOf(object, variable);
  if (apiServer.includes(variable.name)) {
    needed.add(variable.name);
    ledger.note(subject, "carried", "environment of the agent");
  } else if (needed.has(variable.name))
    ledger.note(subject, "carried", "environment of the agent, for a flag refers to it");
  else if (["POD_NAME", "POD_NAMESPACE"].includes(variable.name)) {
    ledger.note(subject, "covered", "the agent needs its node's name only, which Twill's manifest gives");
  } else if (["EVENT_QUEUE_DEPTH", "CONT_WHEN_CACHE_NOT_READY"].includes(variable.name)) {
    ledger.note(subject, "covered", "of flanneld's queue of node events; Twill lists and watches without one");
  } else ledger.note(subject, "unknown", "not a variable of flanneld's that Twill knows");
}

export const apiServer = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"];

/** A FLANNELD_… whose value only the running pod has, or a ConfigMap that is not at hand. */
function convertOpen(
  object: ObjectReader,
  variable: Variable,
  flag: string,
  needed: Set<string>,
  given: Set<string>,
  flags: Flags,
  ledger: Ledger,
): void {
  const subject = subjectOf(object, variable);
  given.add(flag);
  if (variable.from?.endsWith("of the pod")) {
    needed.add(variable.name);
    convertFlanneldFlag(flag, `$(${variable.name})`, subject, flags, ledger);
    return;
  }
  ledger.refuse(subject, `its value stands in ${variable.from}; give that file, too`, "it is left out");
}

/** Where silence means one thing to flanneld and another to twill-agent. */
function impliedFlags(object: ObjectReader, given: ReadonlySet<string>, flags: Flags, ledger: Ledger): void {
  const absent = (name: string) => ({ object: object.title, name, value: "(not given)" });
  if (!flags.has("ip-masq") && !given.has("ip-masq")) {
    flags.set("ip-masq", "false");
    ledger.note(
      absent("--ip-masq"),
      "carried",
      "--ip-masq=false: flanneld masquerades only when told to, Twill unless told not to",
    );
  }
  if (!given.has("kube-subnet-mgr")) ledger.refuse(absent("--kube-subnet-mgr"), withoutKubernetes, leasedAnew);
}

/** Several DaemonSets, one an architecture, become one: their flags must agree. */
export function mergeAgents(
  agents: readonly (AgentSettings & { readonly object: ObjectReader })[],
  draft: Draft,
  ledger: Ledger,
): void {
  const [first, ...others] = agents;
  if (first === undefined) return;
  const words = first.flags.words();
  for (const word of words) {
    const equals = word.indexOf("=");
    draft.flags.add(word.slice(2, equals), word.slice(equals + 1));
  }
  const different = others.filter(({ flags }) => flags.words().join("\n") !== words.join("\n"));
  for (const { object, flags } of different) {
    const subject = { object: object.title, name: "flags", value: flags.words().join(" ") };
    ledger.refuse(
      subject,
      `they differ from those of ${first.object.title}, and Twill's DaemonSet is one`,
      `those of ${first.object.title} are used`,
    );
  }
  const env = agents.flatMap((agent) => agent.env);
  const unique = [...new Map(env.map((entry) => [JSON.stringify(entry), entry])).values()];
  if (unique.length > 0) draft.pod = { ...draft.pod, env: unique };
}
