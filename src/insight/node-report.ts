import type { NodeFacts } from "./facts.ts";
import type { KernelView } from "./kernel-view.ts";
import { podId } from "./node-view.ts";
import { redact } from "./redact.ts";

/** A file of a bundle. */
export interface ReportFile {
  readonly name: string;
  readonly text: string;
}

/** Bytes of one file: a table of a million entries tells no more than its beginning. */
const maximumFile = 4 << 20;

/** All that is known of one node, as files: kernel, agent, pods. Secrets are taken out before it leaves the node. */
export function nodeReport(
  facts: NodeFacts,
  extra: Readonly<Record<string, unknown>>,
  log: string,
  known: readonly string[],
): ReportFile[] {
  const { view, agent } = facts;
  const { links, addresses, routes, rules, neighbours, fdb, ruleset, settings } = view.kernel;
  const state =
    agent.state === undefined ? undefined : { own: agent.state.own, peers: Object.fromEntries(agent.state.peers) };
  const pods = view.pods.map(({ kernel, ...place }) => ({
    ...place,
    kernel: kernel === undefined ? null : withoutRules(kernel),
  }));
  const values: Readonly<Record<string, unknown>> = {
    "agent/about.json": { ...agent, state: undefined, leases: undefined },
    "agent/state.json": state ?? null,
    "agent/leases.json": Object.fromEntries(agent.leases),
    "kernel/links.json": links,
    "kernel/addresses.json": addresses,
    "kernel/routes.json": { rules, routes },
    "kernel/neighbours.json": { neighbours, fdb },
    "kernel/nftables.json": { chains: ruleset.chains, rules: ruleset.rules, sets: ruleset.sets },
    "kernel/settings.json": Object.fromEntries(settings),
    "pods.json": pods.map((pod) => ({ id: podId(pod), ...pod })),
    ...extra,
  };
  const files = Object.entries(values).map(([name, value]) => ({
    name,
    text: `${JSON.stringify(value, plain, 1) ?? "null"}\n`,
  }));
  return [...files, { name: "agent/log.txt", text: log }].map(({ name, text }) => ({
    name,
    text: cut(redact(text, known)),
  }));
}

const withoutRules = ({ links, addresses, routes, neighbours }: KernelView) => ({
  links,
  addresses,
  routes,
  neighbours,
});

/** Counters are bigints, which JSON has not. */
const plain = (_: string, value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value);

/** A log's end is what counts, and JSON that is cut is still read by people. */
function cut(text: string): string {
  if (text.length <= maximumFile) return text;
  return `${text.slice(0, maximumFile / 2)}\n[… ${text.length - maximumFile} characters left out …]\n${text.slice(-maximumFile / 2)}`;
}
