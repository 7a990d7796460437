import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { TwillError } from "../../src/base/errors.ts";
import { decodeLease } from "../../src/intent/flannel/lease.ts";
import {
  formatNetConf,
  networkDifferences,
  parseNetConf,
  sameNetwork,
  writtenNetwork,
} from "../../src/intent/flannel/net-conf.ts";
import { decodeSwitchTarget, type SwitchTarget } from "../../src/intent/flannel/switch-target.ts";
import type { ClusterNetwork, Lease } from "../../src/model/network.ts";
import type { Datastore, StoredObject } from "../../src/store/datastore.ts";
import { openDatastore } from "../../src/store/open.ts";
import { describeNetwork } from "../../src/switch/describe.ts";
import { planChange } from "../../src/switch/plan.ts";
import { datastoreKinds } from "../datastore-kinds.ts";
import { defaultDatastore, defaultStateDir } from "../defaults.ts";
import { boolean, number, text } from "../flags.ts";
import { CONFIG, NETWORK, NODES, SWITCH, TARGET } from "../kinds.ts";
import { progressLines } from "./change-progress.ts";
import { command, type Output } from "./command.ts";

const where = {
  datastore: text("", "where the cluster's state lives; on a node, that of its agent unless given", "URL"),
};
const how = {
  ...where,
  yes: boolean(false, "change it without asking"),
  plan: boolean(false, "show the plan and change nothing"),
  watch: boolean(false, "stay, and show it happen"),
};

async function withStore<T>(url: string, work: (store: Datastore) => Promise<T>): Promise<T> {
  const store = await openDatastore(url === "" ? datastoreHere() : url, { kinds: datastoreKinds() });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** This node's agent's, if there is one. */
function datastoreHere(): string {
  try {
    const { datastore } = JSON.parse(readFileSync(join(defaultStateDir, "node.json"), "utf8")) as {
      datastore?: unknown;
    };
    if (typeof datastore === "string" && datastore !== "") return datastore;
  } catch {
    // No agent has run here.
  }
  return defaultDatastore;
}

/** The cluster as its nodes tell of it. */
interface Cluster {
  readonly stored: StoredObject;
  readonly network: ClusterNetwork;
  readonly target: SwitchTarget | undefined;
  readonly leases: readonly Lease[];
}

async function readCluster(store: Datastore): Promise<Cluster> {
  const stored = await store.get(CONFIG, NETWORK);
  if (stored === undefined)
    throw new TwillError("not-found", "no network configuration is stored there", {
      remedy: "twill config set net-conf.json",
    });
  const target = await store.get(SWITCH, TARGET);
  const leases = (await store.list(NODES)).objects.map(({ name, value }) => decodeLease(value, `node ${name}`));
  return {
    stored,
    network: parseNetConf(stored.value, { allowExtension: true }),
    target: target === undefined ? undefined : decodeSwitchTarget(target.value, { allowExtension: true }),
    leases,
  };
}

/** By what the cluster works now, as far as it can be one answer. */
const current = ({ network, target }: Cluster): ClusterNetwork => target?.configs.get(target.id) ?? network;

/** Shows the plan, asks where somebody can answer, stores, and watches if told to. @returns the exit status. */
async function change(
  store: Datastore,
  cluster: Cluster,
  to: ClusterNetwork,
  written: string,
  flags: { readonly yes: boolean; readonly plan: boolean; readonly watch: boolean },
  output: Output,
): Promise<number> {
  const from = current(cluster);
  const differences = networkDifferences(from, to);
  if (differences.length === 0) {
    output.out(`the cluster is so already: ${describeNetwork(from)}\n`);
    // What was written since was refused, or nobody has taken it up yet.
    if (!sameNetwork(cluster.network, to)) await store.update(CONFIG, NETWORK, bytes(written), cluster.stored.revision);
    return 0;
  }
  const plan = planChange(from, to, cluster.leases);
  output.out(`from  ${describeNetwork(from)}\nto    ${describeNetwork(to)}\n`);
  for (const difference of differences) output.out(`      ${difference}\n`);
  for (const { node, changes } of plan.nodes)
    output.out(`${node}: ${changes.length === 0 ? "nothing to do" : changes.join("; ")}\n`);
  if (plan.refused.length > 0) {
    output.error("refused, and nothing was changed:\n");
    for (const { message, remedy } of plan.refused) output.error(`  ${message}\n    → ${remedy}\n`);
    return 1;
  }
  if (flags.plan) return 0;
  if (!flags.yes && !(await confirmed(output))) {
    output.error("nothing was changed; --yes changes it without asking\n");
    return 1;
  }
  await store.update(CONFIG, NETWORK, bytes(written), cluster.stored.revision);
  output.out("stored; the agents follow, each when all others are ready for it\n");
  return flags.watch ? watch(store, to, output) : 0;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function confirmed(output: Output): Promise<boolean> {
  if (!process.stdin.isTTY || output.columns === undefined) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await terminal.question("change it? [y/N] ")).trim());
  } finally {
    terminal.close();
  }
}

const watchEveryMs = 200;

/** Prints what changes until every node is done, or the change is given up by a person. */
async function watch(store: Datastore, to: ClusterNetwork | undefined, output: Output): Promise<number> {
  let before = "";
  for (;;) {
    const cluster = await readCluster(store);
    const { target, leases } = cluster;
    const reached = to === undefined || sameNetwork(current(cluster), to);
    const progress = progressLines(target, leases);
    const shown = reached ? progress.lines.join("\n") : "waiting for an agent to take it up";
    if (shown !== before) output.out(`${shown}\n`);
    before = shown;
    if (reached && progress.done) return 0;
    await Bun.sleep(watchEveryMs);
  }
}

const set = command({
  name: "set",
  usage: "vxlan|host-gw|alloc",
  summary: "Change the backend of the running cluster: shows what that does on each node, asks, and loses no packet",
  help: `
Options that are not given keep their value while the type stays the same. A change that cannot be made whole is refused,
with the reason, and nothing is changed; the exit status is 1.

  twill backend set vxlan --direct-routing --plan
  twill backend set host-gw --watch
  twill backend set vxlan --port=4789 --yes --watch`,
  words: ["vxlan", "host-gw", "alloc"],
  flags: {
    ...how,
    vni: number(1, "number of the tunnel", [1, 0xffffff]),
    port: number(8472, "UDP port of the tunnel", [1, 65535]),
    mtu: number(0, "MTU of the underlay to reckon with; 0: that of the interface", [0, 65535]),
    directRouting: boolean(false, "plain packets between nodes of one link"),
  },
  run: ({ rest, flags, given }, output) =>
    withStore(flags.datastore, async (store) => {
      const [type] = rest;
      if (type === undefined) throw new TwillError("invalid", "which backend?", { remedy: "twill backend set vxlan" });
      const cluster = await readCluster(store);
      const asked = { VNI: flags.vni, Port: flags.port, MTU: flags.mtu || null, DirectRouting: flags.directRouting };
      const keys = { VNI: "vni", Port: "port", MTU: "mtu", DirectRouting: "directRouting" } as const;
      const options = Object.fromEntries(
        Object.entries(asked).filter(([name]) => given.has(keys[name as keyof typeof keys])),
      );
      const written = withBackend(cluster.stored.value, current(cluster), type, options);
      const to = parseNetConf(written, { source: "the new configuration", allowExtension: true });
      return change(store, cluster, to, written, flags, output);
    }),
});

/** The text as it was written, with another Backend: what else stands in it stays. */
function withBackend(
  before: Uint8Array,
  network: ClusterNetwork,
  type: string,
  options: Readonly<Record<string, unknown>>,
): string {
  const text = JSON.parse(new TextDecoder().decode(before)) as Record<string, unknown>;
  const kept = network.backend.type === type ? (writtenNetwork(network).Backend as Record<string, unknown>) : {};
  const backend: Record<string, unknown> = { ...kept, Type: type };
  for (const [name, value] of Object.entries(options)) {
    if (value === null) delete backend[name];
    else backend[name] = value;
  }
  const key = Object.keys(text).find((name) => name.toLowerCase() === "backend") ?? "Backend";
  return `${JSON.stringify({ ...text, [key]: backend }, null, 2)}\n`;
}

const apply = command({
  name: "apply",
  usage: "FILE",
  summary: "Change the running cluster to a whole net-conf.json: its ranges, too. Shown first, asked, without loss",
  help: `
A range is added in MoreNetworks, and retired there before it can be left out: new pods then get addresses of the others,
and each node gives its subnet back when the last pod of it is gone.

  twill backend apply net-conf.json --plan`,
  flags: how,
  run: ({ rest, flags }, output) =>
    withStore(flags.datastore, async (store) => {
      const [file] = rest;
      if (file === undefined)
        throw new TwillError("invalid", "which file?", { remedy: "name a net-conf.json, or - for standard input" });
      const written = readText(file);
      const to = parseNetConf(written, { source: file === "-" ? "standard input" : file, allowExtension: true });
      return change(store, await readCluster(store), to, written, flags, output);
    }),
});

function readText(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new TwillError("io", (error as NodeJS.ErrnoException).code ?? String(error), {
      operation: "read",
      object: file,
    });
  }
}

const rollback = command({
  name: "rollback",
  summary: "Go back to the configuration of before, also in the middle of a change",
  help: `
What the cluster had before its newest target, in the same way: shown, asked, without loss.

  twill backend rollback --yes --watch`,
  flags: how,
  run: ({ flags }, output) =>
    withStore(flags.datastore, async (store) => {
      const cluster = await readCluster(store);
      const { target, network } = cluster;
      const isPending = !sameNetwork(current(cluster), network);
      const [previous] = isPending
        ? [current(cluster)]
        : (target?.earlier ?? []).flatMap((id) => target?.configs.get(id) ?? []);
      if (previous === undefined)
        throw new TwillError("not-found", "the cluster has had no other configuration", { operation: "roll back" });
      return change(store, cluster, previous, formatNetConf(previous), flags, output);
    }),
});

const status = command({
  name: "status",
  summary: "Where every node stands in a change of the backend",
  flags: { ...where, watch: boolean(false, "stay until it is over") },
  run: ({ flags }, output) =>
    withStore(flags.datastore, async (store) => {
      if (flags.watch) return watch(store, undefined, output);
      const { target, leases } = await readCluster(store);
      const { lines, done } = progressLines(target, leases);
      output.out(`${lines.join("\n")}\n`);
      return done ? 0 : 1;
    }),
});

export const backend = command({
  name: "backend",
  summary: "Change how packets cross nodes, while the cluster runs and without losing any",
  subcommands: [set, apply, rollback, status],
});
