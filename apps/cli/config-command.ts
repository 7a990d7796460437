import { readFileSync } from "node:fs";
import { isCode, TwillError } from "../../src/base/errors.ts";
import { formatNetConf, networkDifferences, parseNetConf } from "../../src/intent/flannel/net-conf.ts";
import type { ClusterNetwork } from "../../src/model/network.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { openDatastore } from "../../src/store/open.ts";
import { defaultDatastore } from "../defaults.ts";
import { text } from "../flags.ts";
import { CONFIG, NETWORK } from "../kinds.ts";
import { command, type Output } from "./command.ts";

const flags = { datastore: text(defaultDatastore, "where the cluster's state lives: embedded:FILE", "URL") };

/** The configuration's text from a file or, as "-", from standard input, and what it means. Warnings go to stderr. */
function readNetwork(
  file: string | undefined,
  output: Output,
): { readonly text: string; readonly network: ClusterNetwork } {
  if (file === undefined)
    throw new TwillError("invalid", "which file?", { remedy: "name a net-conf.json, or - for standard input" });
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new TwillError("io", (error as NodeJS.ErrnoException).code ?? String(error), {
      operation: "read",
      object: file,
    });
  }
  const warn = (problem: { subject: string; message: string; remedy: string }) =>
    output.error(`warning: ${problem.subject}: ${problem.message} (${problem.remedy})\n`);
  return {
    text,
    network: parseNetConf(text, { source: file === "-" ? "standard input" : file, allowExtension: true, warn }),
  };
}

async function withStore<T>(url: string, work: (store: Datastore) => Promise<T>): Promise<T> {
  const store = await openDatastore(url);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

const check = command({
  name: "check",
  usage: "FILE",
  summary: "Check a net-conf.json and show it with every default filled in; change nothing",
  run: ({ rest }, output) => {
    output.out(formatNetConf(readNetwork(rest[0], output).network));
    return 0;
  },
});

const get = command({
  name: "get",
  summary: "Print the network configuration as it was stored",
  flags,
  run: ({ flags }, output) =>
    withStore(flags.datastore, async (store) => {
      const stored = await store.get(CONFIG, NETWORK);
      if (stored === undefined) {
        throw new TwillError("not-found", `no network configuration is stored in ${flags.datastore}`, {
          remedy: "twill config set net-conf.json",
        });
      }
      output.out(new TextDecoder().decode(stored.value));
      return 0;
    }),
});

const set = command({
  name: "set",
  usage: "FILE",
  summary: "Check a net-conf.json and store it; every agent follows",
  help: `
The file is stored as it is written. A mistake is refused before anything changes.

  echo '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "DirectRouting": true}}' | twill config set -`,
  flags,
  run: ({ rest, flags }, output) => {
    const { text, network } = readNetwork(rest[0], output);
    return withStore(flags.datastore, async (store) => {
      const before = await store.get(CONFIG, NETWORK);
      const value = new TextEncoder().encode(text);
      if (before === undefined) await store.create(CONFIG, NETWORK, value);
      else await store.update(CONFIG, NETWORK, value, before.revision);
      for (const line of changes(before?.value, network)) output.out(`${line}\n`);
      return 0;
    });
  },
});

function changes(before: Uint8Array | undefined, network: ClusterNetwork): readonly string[] {
  if (before === undefined) return ["network configuration stored"];
  try {
    const differences = networkDifferences(parseNetConf(before, { allowExtension: true }), network);
    return differences.length === 0 ? ["stored; it means the same as before"] : differences;
  } catch (error) {
    if (!isCode(error, "invalid")) throw error;
    return ["network configuration stored, in place of one that was invalid"];
  }
}

export const config = command({
  name: "config",
  summary: "The network's configuration: Flannel's net-conf.json",
  subcommands: [get, set, check],
});
