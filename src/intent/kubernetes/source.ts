import type { Policy } from "../../model/policy.ts";
import type { Place } from "../schema.ts";
import type { Metadata } from "./metadata.ts";
import { lineOf, type Reading } from "./reading.ts";

/**
 * Where a policy was written, so that a verdict can name the line: an annotation that `twill apply` adds, as people read it too:
 * "shop.yaml:14; ingress 18 22; egress 30" (the object's line, then the line of each rule).
 */
export const SOURCE = "twill.dev/source";

type Direction = "ingress" | "egress";

interface Source {
  readonly file: string;
  readonly line: number;
  readonly ingress: readonly number[];
  readonly egress: readonly number[];
}

export function formatSource({ file, line, ingress, egress }: Source): string {
  const rules = (name: string, lines: readonly number[]) => (lines.length === 0 ? "" : `; ${name} ${lines.join(" ")}`);
  return `${file}:${line}${rules("ingress", ingress)}${rules("egress", egress)}`;
}

/** Undefined: it is not there, or somebody wrote another thing there; nothing depends on it but what people are told. */
export function parseSource(text: string | undefined): Source | undefined {
  const match = /^(.{1,4096}?):([1-9]\d{0,8})(?:; ingress ([\d ]+))?(?:; egress ([\d ]+))?$/.exec(text ?? "");
  const [, file, line, ingress, egress] = match ?? [];
  if (file === undefined || /\p{Cc}/u.test(file)) return undefined;
  const lines = (written: string | undefined) => (written === undefined ? [] : written.split(" ").map(Number));
  return { file, line: Number(line), ingress: lines(ingress), egress: lines(egress) };
}

/** From the file that is being read, or by the annotation. */
export function policySource(whole: Place, metadata: Metadata, reading: Reading): Policy["source"] {
  if (reading.origin === "file") return { file: whole.document.source, line: lineOf(whole) };
  const source = parseSource(metadata.annotations[SOURCE]);
  return source && { file: source.file, line: source.line };
}

/** The line of each rule, where it is known. */
export function ruleLine(
  metadata: Metadata,
  direction: Direction,
  reading: Reading,
): (place: Place, index: number) => number | undefined {
  if (reading.origin === "file") return lineOf;
  const lines = parseSource(metadata.annotations[SOURCE])?.[direction] ?? [];
  return (_, index) => lines[index] || undefined;
}
