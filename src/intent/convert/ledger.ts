import { TwillError } from "../../base/errors.ts";
import type { Finding, Outcome } from "./finding.ts";
import { formatPath, leavesOf, matches, type Path, shown, valueAt } from "./leaves.ts";
import { type ManifestObject, titleOf } from "./manifest-object.ts";

/** What a finding is about. */
export interface Subject {
  readonly object: string;
  readonly name: string;
  readonly value: unknown;
}

/** Every decision about a value, in order. */
export class Ledger {
  readonly findings: Finding[] = [];
  readonly #accepted: ReadonlySet<string>;
  readonly #refusable = new Set<string>();

  /** @param accepted names whose refusals the user accepts. */
  constructor(accepted: Iterable<string> = []) {
    this.#accepted = new Set(accepted);
  }

  note(subject: Subject, outcome: Exclude<Outcome, "refused">, reason: string, minor = false): void {
    this.findings.push({ ...presentable(subject), outcome, reason, ...(minor && { minor }) });
  }

  /** @returns whether the user accepted `ifAccepted`, what is then done. */
  refuse(subject: Subject, reason: string, ifAccepted: string): boolean {
    this.#refusable.add(subject.name);
    const accepted = this.#accepted.has(subject.name);
    this.findings.push(
      accepted
        ? { ...presentable(subject), outcome: "changed", reason: `accepted: ${ifAccepted}. ${reason}` }
        : { ...presentable(subject), outcome: "refused", reason, ifAccepted },
    );
    return accepted;
  }

  /** A misspelt --accept must not pass for one that was not needed. @throws TwillError `invalid`. */
  checkAccepted(): void {
    const idle = [...this.#accepted].filter((name) => !this.#refusable.has(name));
    if (idle.length === 0) return;
    const names = [...this.#refusable].join(", ");
    throw new TwillError("invalid", `--accept ${idle.join(",")}: nothing of that name is refused here`, {
      remedy: names === "" ? "leave it out; nothing is refused" : `refused are ${names}`,
    });
  }
}

/** Passwords and keys stay where they are. */
const secret = /passw|psk|secret|token|private|[-_]key$/i;

const presentable = ({ object, name, value }: Subject) => ({
  object,
  name,
  value: object.startsWith("Secret ") || secret.test(name) ? "(not shown)" : shown(value),
});

/** A rule for values that need no thought: who matches, and what is said of them. */
export interface Rule {
  readonly pattern: string;
  readonly outcome: Exclude<Outcome, "refused">;
  readonly reason: string;
  readonly minor: boolean;
}

/** One object being read. What nobody claims is named in the end, so nothing can be forgotten. */
export class ObjectReader {
  readonly title: string;
  readonly value: unknown;
  readonly #ledger: Ledger;
  readonly #unclaimed: Map<string, Path>;

  constructor(object: ManifestObject, ledger: Ledger) {
    this.title = titleOf(object);
    this.value = object.value;
    this.#ledger = ledger;
    this.#unclaimed = new Map(leavesOf(object.value).map(({ path }) => [JSON.stringify(path), path]));
  }

  at(...path: Path): unknown {
    return valueAt(this.value, path);
  }

  /** Somebody says in a finding of his own what becomes of everything at and below the path. */
  claim(path: Path): void {
    for (const [key, leaf] of this.#unclaimed) {
      if (path.every((step, index) => step === leaf[index])) this.#unclaimed.delete(key);
    }
  }

  subject(path: Path, name = formatPath(this.value, path).replace(/^spec\.template\.spec\./, "")): Subject {
    return { object: this.title, name, value: valueAt(this.value, path) };
  }

  note(path: Path, outcome: Exclude<Outcome, "refused">, reason: string, name?: string): void {
    this.claim(path);
    this.#ledger.note(this.subject(path, name), outcome, reason);
  }

  refuse(path: Path, reason: string, ifAccepted: string, name?: string): boolean {
    this.claim(path);
    return this.#ledger.refuse(this.subject(path, name), reason, ifAccepted);
  }

  /** The rest, by the first rule that matches, or as unknown. */
  finish(rules: readonly Rule[]): void {
    for (const path of [...this.#unclaimed.values()]) {
      const rule = rules.find(({ pattern }) => matches(pattern, path));
      if (rule === undefined) {
        this.note(path, "unknown", "Twill does not know it; look it up before you rely on the result");
      } else {
        this.claim(path);
        this.#ledger.note(this.subject(path), rule.outcome, rule.reason, rule.minor);
      }
    }
  }
}
