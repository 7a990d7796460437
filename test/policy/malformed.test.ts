import { expect, test } from "bun:test";
import { describeError, isCode } from "../../src/base/errors.ts";
import { seededRandom } from "../../src/base/random.ts";
import { Evaluator } from "../../src/compile/policy/evaluate.ts";
import { storeName } from "../../src/intent/kubernetes/api-object.ts";
import { UnreadablePolicy } from "../../src/intent/kubernetes/broken-policy.ts";
import { readManifests, type WrittenObject } from "../../src/intent/kubernetes/manifest.ts";
import type { PolicyBook } from "../../src/intent/kubernetes/policy-book.ts";
import { decodePolicy, type StoredPolicy } from "../../src/intent/kubernetes/stored-object.ts";
import { policyName } from "../../src/model/policy.ts";
import { generateCase } from "../oracle/case.ts";
import { portOf, protocolNumber } from "../oracle/compiled.ts";
import { evaluate } from "../oracle/evaluate.ts";
import type { Flow } from "../oracle/flow.ts";
import type { ClusterObjects, PolicyObject } from "../oracle/objects.ts";
import { twillModel } from "../oracle/twill-model.ts";
import { mutatePolicy } from "./mutate.ts";

const ROUNDS = Number(process.env.TWILL_ROUNDS ?? 10_000);
const FLOWS = 5;
const MUTATIONS_EACH = 25;

/**
 * Policies made from real ones by what hands, editors and templates do to them. Each is understood exactly as the API's documentation
 * has it (the oracle, which reads the same object), or it is refused; then its last good version stays, or without one, it denies.
 * Never is anything let through that even a reader who overlooks what is wrong would deny.
 */
test(`${ROUNDS} malformed policies: none is half understood`, () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  const random = seededRandom(seed);
  const seen = { understood: 0, doubtful: 0, refused: 0, denials: 0 };
  let done = 0;
  while (done < ROUNDS) {
    const { cluster: whole, flows } = generateCase(random.below(1 << 30), FLOWS);
    const cluster = { ...whole, policies: [] };
    const book = twillModel(cluster);
    // Of what it keeps, nothing depends on policies.
    const evaluator = new Evaluator(book.model);
    for (const policy of whole.policies) {
      const lastGood = twillModel({ ...cluster, policies: [policy] });
      for (let each = 0; each < MUTATIONS_EACH && done < ROUNDS; each++, done++) {
        const text = mutatePolicy(random, policy);
        try {
          judge({ cluster, book, evaluator, lastGood, flows, policy, text }, seen);
        } catch (error) {
          throw new Error(`TWILL_SEED=${seed} round ${done}: ${text}\n${describeError(error)}`, { cause: error });
        }
      }
    }
  }
  const least = ROUNDS / 50;
  expect(Object.entries(seen).filter(([, count]) => count < least)).toEqual([]);
}, 300_000);

interface Given {
  /** Without policies, as the book between two judgements. */
  readonly cluster: ClusterObjects;
  readonly book: PolicyBook;
  readonly evaluator: Evaluator;
  /** Has the policy as it was. */
  readonly lastGood: PolicyBook;
  readonly flows: readonly Flow[];
  readonly policy: PolicyObject;
  readonly text: string;
}

type Seen = Record<"understood" | "doubtful" | "refused" | "denials", number>;

function judge({ cluster, book, evaluator, lastGood, flows, policy, text }: Given, seen: Seen): void {
  const { kind } = policy;
  const stored = storeName(policy.metadata);
  const read = decode(kind, text, stored);
  if (text.length % 3 === 0) checkFile(text);
  if (read instanceof UnreadablePolicy) {
    seen.refused++;
    keepsLastGood(lastGood, kind, stored, read);
    book.noteUnreadable(kind, stored, read);
  } else {
    seen[read.warnings.length === 0 ? "understood" : "doubtful"]++;
    book.putPolicy(read);
  }
  const lenient = parse(text);
  const strict = kind === "NetworkPolicy" && withoutStrangers(lenient);
  const exact = !(read instanceof UnreadablePolicy) && read.warnings.length === 0;
  for (const flow of flows) {
    const ours = evaluator.evaluate({
      source: flow.from.address,
      destination: flow.to.address,
      protocol: protocolNumber(flow),
      port: portOf(flow),
    });
    if (ours.verdict === "deny") seen.denials++;
    const theirs = verdictOf(cluster, lenient, flow);
    if (exact) expect(ours.verdict).toBe(theirs ?? "deny");
    else if ([theirs, verdictOf(cluster, strict, flow)].includes("deny")) expect(ours.verdict).toBe("deny");
    if (!(read instanceof UnreadablePolicy)) continue;
    // Whom it selects, it denies in its directions, but for what no policy ever denies.
    for (const { decision } of [...ours.egress, ...ours.ingress]) {
      expect(["broken", "own-node", "no-policy"]).toContain(decision.reason.by);
      expect(decision.verdict).toBe(decision.reason.by === "broken" ? "deny" : "allow");
    }
  }
  book.deletePolicy(kind, stored);
}

function decode(kind: PolicyObject["kind"], text: string, stored: string): StoredPolicy | UnreadablePolicy {
  try {
    return decodePolicy(kind, new TextEncoder().encode(text), stored);
  } catch (error) {
    if (!(error instanceof UnreadablePolicy)) throw error;
    const { instead } = error;
    expect(instead.broken).toBeString();
    expect([...(instead.ingress ?? []), ...(instead.egress ?? [])]).toEqual([]);
    expect(instead.ingress !== undefined || instead.egress !== undefined).toBe(true);
    return error;
  }
}

/** In a file it is refused in words, or what is kept of it is read again as it was. */
function checkFile(text: string): void {
  let written: readonly WrittenObject[];
  try {
    written = readManifests([{ source: "policy.json", text }], "default");
  } catch (error) {
    expect(isCode(error, "invalid")).toBe(true);
    return;
  }
  for (const { read, value, stored } of written) {
    if (!("policy" in read)) continue;
    const kept = decodePolicy(read.kind, new TextEncoder().encode(JSON.stringify(value)), stored);
    expect(kept.policy).toEqual(read.policy);
  }
}

function keepsLastGood(book: PolicyBook, kind: PolicyObject["kind"], stored: string, error: UnreadablePolicy): void {
  const name = policyName(error.instead.id);
  const before = book.model.policies.get(name);
  book.noteUnreadable(kind, stored, error);
  expect(before?.broken).toBeUndefined();
  expect(book.model.policies.get(name)).toBe(before);
  expect(book.problems().filter(({ severity }) => severity === "error")).toHaveLength(1);
  book.noteUnreadable(kind, stored, undefined);
}

/** By a reader who overlooks whatever it does not expect. Undefined: not even such a one can make anything of it. */
function verdictOf(cluster: ClusterObjects, policy: unknown, flow: Flow): "allow" | "deny" | undefined {
  try {
    return policy ? evaluate({ ...cluster, policies: [policy as PolicyObject] }, flow).verdict : undefined;
  } catch {
    return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return withoutNull(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const known = new Set(
  "from to ports protocol port endPort podSelector namespaceSelector ipBlock cidr except matchLabels matchExpressions key operator values".split(
    " ",
  ),
);

/**
 * A NetworkPolicy without those rules, peers and ports that have a field which nobody knows: it would have narrowed what they allow, so
 * they allow nothing. A list that is empty for that means nobody, not everybody.
 */
function withoutStrangers(policy: unknown): unknown {
  const isStranger = (value: unknown): boolean =>
    typeof value === "object" &&
    value !== null &&
    Object.entries(value).some(
      ([key, part]) => (!Array.isArray(value) && !known.has(key)) || (key !== "matchLabels" && isStranger(part)),
    );
  const rule = (value: unknown): unknown[] => {
    if (typeof value !== "object" || value === null || Object.keys(value).some((key) => !known.has(key))) return [];
    const lists = Object.entries(value).map(([key, list]): [string, unknown] => {
      const kept = Array.isArray(list) ? list.filter((item) => !isStranger(item)) : list;
      return [
        key,
        Array.isArray(kept) && kept.length === 0 && Array.isArray(list) && list.length > 0 ? undefined : kept,
      ];
    });
    return lists.some(([, list]) => list === undefined) ? [] : [Object.fromEntries(lists)];
  };
  const { spec, ...rest } = (policy ?? {}) as { readonly spec?: Readonly<Record<string, unknown>> };
  if (typeof spec !== "object") return undefined;
  const rules = (list: unknown) => (Array.isArray(list) ? list.flatMap(rule) : list);
  // Whether egress is spoken of at all is told by the rules as they were written.
  const types =
    spec.policyTypes ?? (Array.isArray(spec.egress) && spec.egress.length > 0 ? ["Ingress", "Egress"] : ["Ingress"]);
  return {
    ...rest,
    spec: { ...spec, policyTypes: types, ingress: rules(spec.ingress ?? []), egress: rules(spec.egress ?? []) },
  };
}

/** As Go's encoding/json has it: null is absent, and in a map of texts the empty one. A NamespacedPod's namespaceSelector may be (v1alpha2: "if empty, all namespaces"). */
function withoutNull(value: unknown, name = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNull(item));
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).flatMap(([key, part]) => {
    if (part !== null) return [[key, withoutNull(part, key)]];
    return name === "matchLabels" ? [[key, ""]] : [];
  });
  return { ...(name === "pods" && { namespaceSelector: {} }), ...Object.fromEntries(fields) };
}
