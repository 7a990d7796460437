import { TwillError } from "../../src/base/errors.ts";
import { datastoreKinds } from "../datastore-kinds.ts";
import { defaultDatastore, defaultRunDir } from "../defaults.ts";
import { boolean, choice, nearest, optional, text, withLetter } from "../flags.ts";
import { agentListings, type Listing } from "./agent-listings.ts";
import { command, type Output } from "./command.ts";
import { listObjects, objectHeadings } from "./object-listings.ts";
import { openCluster } from "./open-cluster.ts";
import { printValue } from "./print-value.ts";
import { findStoredKinds, storedKindWords } from "./stored-objects.ts";
import { formatTable } from "./table.ts";

const words = [...Object.keys(agentListings), ...storedKindWords];

interface Flags {
  readonly runDir: string;
  readonly datastore: string;
  readonly namespace: string | undefined;
  readonly output: "table" | "wide" | "json" | "yaml";
}

export const get = command({
  name: "get",
  usage: `${words.join("|")} [NAME]`,
  summary: "List what this node's agent knows, or the cluster's policies, namespaces and pods",
  help: `
Nodes, subnets, endpoints and routes are what this node's agent holds; the others are the cluster's objects, as they are kept.

  twill get nodes
  twill get endpoints -o wide
  twill get routes 10.244.3.0/24 -o yaml
  twill get policies
  twill get networkpolicies -n shop -o yaml`,
  words,
  flags: {
    runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
    datastore: text(defaultDatastore, "where the cluster's state lives: embedded:FILE or kubernetes:KUBECONFIG", "URL"),
    namespace: withLetter("n", optional("of this namespace only", "NAMESPACE")),
    allNamespaces: withLetter("A", boolean(false, "of all namespaces, as without -n")),
    output: withLetter("o", choice("table", ["table", "wide", "json", "yaml"], "how it is printed")),
  },
  run: async ({ rest, flags }, output) => {
    const [word, name] = rest;
    if (word === undefined) {
      throw new TwillError("invalid", "what should be listed?", { remedy: `twill get ${words.join("|")}` });
    }
    if (flags.allNamespaces && flags.namespace !== undefined) {
      throw new TwillError("invalid", "-A and -n exclude each other", { remedy: "leave one of them out" });
    }
    const listing = Object.hasOwn(agentListings, word) ? agentListings[word] : undefined;
    if (listing !== undefined) getFromAgent(word, listing, name, flags, output);
    else await getFromStore(word, name, flags, output);
    return 0;
  },
});

function getFromAgent(kind: string, listing: Listing, name: string | undefined, flags: Flags, output: Output): void {
  const rows = listing.read(flags.runDir).filter((row) => name === undefined || row.name === name);
  if (name !== undefined && rows.length === 0) throw notThere(name, kind);
  if (flags.output === "json" || flags.output === "yaml") {
    const values = rows.map((row) => row.value);
    printValue(values, flags.output, output);
    return;
  }
  const headings = flags.output === "wide" ? [...listing.headings, ...(listing.wide ?? [])] : listing.headings;
  printTable(kind, headings, rows, output);
}

async function getFromStore(word: string, name: string | undefined, flags: Flags, output: Output): Promise<void> {
  const kinds = findStoredKinds(word);
  if (kinds === undefined) {
    const near = nearest(word, words);
    const remedy = near === undefined ? `twill get ${words.join("|")}` : `did you mean "${near}"?`;
    throw new TwillError("invalid", `"${word}" cannot be listed`, { remedy });
  }
  const store = await openCluster(flags.datastore, { kinds: datastoreKinds() });
  try {
    const all = (await Promise.all(kinds.map((kind) => listObjects(store, kind)))).flat();
    const inNamespace = all.filter(
      (object) =>
        flags.namespace === undefined || object.namespace === undefined || object.namespace === flags.namespace,
    );
    const rows = inNamespace.filter((object) => name === undefined || object.name === name);
    if (name !== undefined && rows.length === 0) throw notThere(name, word);
    const [kind] = kinds;
    if (flags.output === "json" || flags.output === "yaml") {
      const [only] = rows;
      const single = name !== undefined && rows.length === 1 && only !== undefined;
      const list = { apiVersion: "v1", kind: "List", items: rows.map(({ value }) => value) };
      printValue(single ? only.value : list, flags.output, output);
    } else if (kind !== undefined) {
      const { headings, wide } = objectHeadings(kind);
      printTable(word, flags.output === "wide" ? [...headings, ...wide] : headings, rows, output);
    }
  } finally {
    await store.close();
  }
}

const notThere = (name: string, kind: string): TwillError =>
  new TwillError("not-found", `there is no ${name} among the ${kind}`, { remedy: `twill get ${kind} lists all` });

function printTable(
  kind: string,
  headings: readonly string[],
  rows: readonly { readonly cells: readonly string[] }[],
  output: Output,
): void {
  const cells = rows.map((row) => row.cells.slice(0, headings.length));
  output.out(rows.length === 0 ? `no ${kind}\n` : formatTable(headings, cells));
}
