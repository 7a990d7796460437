import { existsSync } from "node:fs";
import { parseAddress } from "../../src/base/address.ts";
import { conclude } from "../../src/insight/conclude.ts";
import type { Examination } from "../../src/insight/examine.ts";
import type { Finding } from "../../src/insight/finding.ts";
import { procSysNet } from "../../src/kernel/sysctl.ts";
import { defaultRunDir, defaultStateDir } from "../defaults.ts";
import { boolean, choice, list, number, text, withLetter } from "../flags.ts";
import { command } from "./command.ts";
import { fixNode } from "./doctor-fix.ts";
import { doctorText } from "./doctor-text.ts";
import { type Opened, openNode } from "./open-node.ts";
import { paint } from "./status-text.ts";

/** In the DaemonSet's container /proc/sys is read-only, and the host's is mounted here (deploy/twill.yaml). */
const mountedSysctls = "/host/proc/sys/net";
const writableSysctls = (): string => (existsSync(mountedSysctls) ? mountedSysctls : procSysNet);

/** What `twill doctor` found, on however many nodes. */
export interface Diagnosis {
  readonly nodes: readonly string[];
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
  readonly paths: number;
  /** What --fix wrote. */
  readonly fixed: readonly string[];
}

export const doctor = command({
  name: "doctor",
  summary: "Find out why pods cannot talk: every known cause is looked for, and probes are sent; says what to do",
  help: `
It looks at this node (--all: at every node) and sends probes between its pods and those of the others. Nothing is changed
without --fix, which mends on this node what is Twill's own. It works with the agent dead, too, for this node alone. The exit
status is 0 when nothing is wrong, 1 when something is.

  twill doctor
  twill doctor --all
  twill doctor --dns 10.96.0.10
  twill doctor -o json | jq '.findings[].id'`,
  flags: {
    runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
    stateDir: text(defaultStateDir, "what the agent keeps: read when it does not answer", "DIR"),
    sysctlDir: text(writableSysctls(), "where --fix writes kernel settings", "DIR"),
    all: boolean(false, "look at every node of the cluster, each by its own agent"),
    fix: boolean(false, "mend on this node what is Twill's own: settings, devices, routes, entries"),
    dns: list("DNS servers of the pods, to be asked from a pod", "ADDRESS"),
    peers: number(16, "how many other nodes each looked at node compares itself with and probes", [0, 10_000]),
    output: withLetter("o", choice("text", ["text", "json"], "how it is printed")),
  },
  run: async ({ flags }, output) => {
    const look = () => diagnose(openNode(flags), flags, flags.all);
    let diagnosis = await look();
    if (flags.fix) {
      const fixed = fixNode(flags.stateDir, flags.sysctlDir, diagnosis.findings);
      if (fixed.length > 0) diagnosis = { ...(await look()), fixed };
    }
    if (flags.output === "json") output.out(`${JSON.stringify(diagnosis, null, 2)}\n`);
    else output.out(doctorText(diagnosis, paint(output.colour)));
    return diagnosis.findings.length === 0 ? 0 : 1;
  },
});

/** This node, or all of them; `dns` as it was typed. */
export async function diagnose(
  { asker, away }: Opened,
  { dns, peers }: { readonly dns: readonly string[]; readonly peers: number },
  all: boolean,
): Promise<Diagnosis> {
  const request = { dns: dns.map(parseAddress), peers };
  const examinations: Examination[] = [await asker.ask(asker.node, "examine", request)];
  const notes: string[] = [];
  if (all && away === undefined) {
    for (const { name } of asker.nodes.filter(({ name: other }) => other !== asker.node)) {
      try {
        examinations.push(await asker.ask(name, "examine", request));
      } catch (error) {
        notes.push(`${name} could not be looked at: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  if (away !== undefined) notes.push("the other nodes could not be asked: that is the agent's work");
  return {
    nodes: examinations.map(({ node }) => node),
    findings: conclude([
      ...(away === undefined ? [] : [agentAway(asker.node, away)]),
      ...examinations.flatMap(({ findings }) => findings),
    ]),
    notes: [...new Set([...notes, ...examinations.flatMap((examination) => examination.notes)])],
    paths: examinations.reduce((sum, { paths }) => sum + paths, 0),
    fixed: [],
  };
}

const agentAway = (node: string, reason: string): Finding => ({
  id: "agent-away",
  severity: "error",
  node,
  subject: node,
  title: `the agent of ${node} does not answer`,
  explanation: "pods keep talking as long as nothing changes; nothing is mended, and no pod can be added",
  evidence: [reason],
  remedy:
    "start twill-agent on this node, or look at its log (kubectl -n twill-system logs, journalctl -u twill-agent)",
});
