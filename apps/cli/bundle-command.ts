import { hostname } from "node:os";
import { describeError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { redact } from "../../src/insight/redact.ts";
import { encodeTar, type TarEntry } from "../../src/wire/tar.ts";
import { defaultRunDir, defaultStateDir } from "../defaults.ts";
import { boolean, list, number, optional, text, withLetter } from "../flags.ts";
import { revision, version } from "../version.ts";
import { command } from "./command.ts";
import { type Diagnosis, diagnose } from "./doctor-command.ts";
import { doctorText } from "./doctor-text.ts";
import { openNode } from "./open-node.ts";
import { writeResult } from "./result-file.ts";
import { paint } from "./status-text.ts";

export const bundle = command({
  name: "bundle",
  summary: "Collect what a maintainer would ask for, from all nodes, into one file, without secrets",
  help: `
One .tar.gz: the datastore's objects, and from every node that answers its kernel's state (devices, routes, neighbours, nf_tables,
settings), its agent's state and log, and what twill doctor finds. The agents' key is never collected; passwords, tokens and
private keys that stand in logs or configuration are replaced by [removed]. Addresses and names stay: look into it before you
hand it on.

  twill bundle
  kubectl -n twill-system exec ds/twill-agent -- twill bundle -f - > bundle.tar.gz
  twill bundle -f /tmp/cluster.tar.gz --dns 10.96.0.10`,
  flags: {
    runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
    stateDir: text(defaultStateDir, "what the agent keeps: read when it does not answer", "DIR"),
    file: withLetter(
      "f",
      optional("what is written (default: twill-bundle-TIME.tar.gz here; - for standard output)", "FILE"),
    ),
    local: boolean(false, "this node alone"),
    dns: list("DNS servers of the pods, to be asked from a pod", "ADDRESS"),
    peers: number(16, "how many other nodes each node probes", [0, 10_000]),
  },
  run: async ({ flags }, output) => {
    const now = new Date();
    const stamp = now.toISOString().replace(/[:.]/g, "-").slice(0, 19);
    const path = flags.file ?? `twill-bundle-${stamp}.tar.gz`;
    const opened = openNode(flags);
    const { asker } = opened;
    const nodes = flags.local
      ? [asker.node]
      : [asker.node, ...asker.nodes.map(({ name }) => name).filter((name) => name !== asker.node)];
    const collected = await collect(asker, nodes);
    const diagnosis = await diagnose(opened, { dns: flags.dns, peers: flags.peers }, !flags.local);
    const files = [...summary(diagnosis, now, collected.failures), ...collected.files];
    const tar = encodeTar(inFolder(`twill-bundle-${stamp}`, files), now.getTime() / 1000);
    await writeResult(path, Bun.gzipSync(Buffer.from(tar)));
    (path === "-" ? output.error : output.out)(
      `${path}: ${files.length} files from ${collected.answered} of ${nodes.length} nodes, ${diagnosis.findings.length} findings\n`,
    );
    for (const failure of collected.failures) output.error(`not there: ${failure}\n`);
    return collected.failures.length === 0 ? 0 : 1;
  },
});

interface NamedText {
  readonly name: string;
  readonly text: string;
}

async function collect(asker: Asker, nodes: readonly string[]) {
  const files: NamedText[] = [];
  const failures: string[] = [];
  let answered = 0;
  for (const node of nodes) {
    try {
      const report = await asker.ask(node, "report", { store: node === asker.node });
      files.push(
        ...report.map(({ name, text: content }) => ({
          name: name.startsWith("store/") ? name : `nodes/${node}/${name}`,
          text: content,
        })),
      );
      answered++;
    } catch (error) {
      failures.push(`${node}: ${describeError(error)}`);
    }
  }
  return { files, failures, answered };
}

function summary(diagnosis: Diagnosis, now: Date, failures: readonly string[]): NamedText[] {
  const about = { version, revision, bun: Bun.version, made: now.toISOString(), on: hostname(), failures };
  return [
    { name: "about.json", text: `${JSON.stringify(about, null, 1)}\n` },
    { name: "doctor.txt", text: doctorText(diagnosis, paint(false)) },
    { name: "doctor.json", text: `${JSON.stringify(diagnosis, null, 1)}\n` },
  ];
}

/** Once more over everything: another node's agent may be older and leave in what this one takes out. */
const inFolder = (folder: string, files: readonly NamedText[]): TarEntry[] =>
  files.map(({ name, text: content }) => ({
    name: `${folder}/${name}`,
    bytes: new TextEncoder().encode(redact(content)),
  }));
