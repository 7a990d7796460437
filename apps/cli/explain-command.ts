import { familyOf } from "../../src/base/address.ts";
import { describeError, TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { addressesBetween, type End } from "../../src/insight/policy/end.ts";
import { type Explanation, explain } from "../../src/insight/policy/explain.ts";
import type { HeldRows } from "../../src/insight/policy/held-rows.ts";
import { parseTarget, resolvePort } from "../../src/insight/policy/target.ts";
import { type Trace, trace } from "../../src/insight/trace.ts";
import { protocols } from "../../src/model/policy.ts";
import { defaultRunDir } from "../defaults.ts";
import { boolean, choice, optional, text, withLetter } from "../flags.ts";
import { command } from "./command.ts";
import { explainText } from "./explain-text.ts";
import { heldText } from "./held-text.ts";
import { findOwnPod } from "./look-asker.ts";
import { askerOrNone, findEnds } from "./policy-ends.ts";
import { paint } from "./status-text.ts";
import { traceText } from "./trace-text.ts";

export const explainCommand = command({
  name: "explain",
  usage: "FROM TO[:PORT][/tcp|udp|sctp]",
  summary: "Whether policy lets one talk to another, and the rule that says so",
  help: `
FROM and TO are a pod (NAMESPACE/NAME, or NAME), an address, a node (node/NAME), or outside. PORT is a number or the name of one
of the pod's ports; without one it is an ICMP echo. It asks this node's agent, and the agents of both pods what their kernels hold;
with --datastore it reads the policies itself and asks nobody. --send tries it with a real packet, if FROM is a pod of this node.
The exit status is 0 when it is allowed, 1 when it is denied, 2 when what the kernel holds or the packet says otherwise.

  twill explain shop/web-0 db/postgres-0:5432
  twill explain outside shop/web-0:https
  twill explain shop/web-0 1.1.1.1:53/udp --send
  twill explain web-0 10.244.3.7:80 -o json`,
  flags: {
    runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
    namespace: withLetter("n", text("default", "of pods named without one", "NAMESPACE")),
    datastore: optional("read policies from there, and ask no agent: embedded:FILE or kubernetes:KUBECONFIG", "URL"),
    send: boolean(false, "send a real packet, and see where it stops"),
    output: withLetter("o", choice("text", ["text", "json"], "how it is printed")),
  },
  run: async ({ rest, flags }, output) => {
    const [fromText, toText, ...more] = rest;
    if (fromText === undefined || toText === undefined || more.length > 0) {
      throw new TwillError("invalid", "explain needs who and whom", { remedy: "twill explain POD POD:PORT" });
    }
    const target = parseTarget(toText);
    const asker = flags.datastore === undefined ? askerOrNone(flags.runDir, output) : undefined;
    const {
      model,
      ends: [from, to],
    } = await findEnds(asker, flags, [fromText, target.host]);
    if (from === undefined || to === undefined) throw new RangeError("an end for each name");
    const ends = [from, to] as const;
    const [source, destination] = addressesBetween(...ends);
    const port = resolvePort(target, to, familyOf(destination));
    const explanation = explain(model, ends, { source, destination, ...port });
    const held = asker === undefined ? [] : await heldRows(asker, explanation, ends);
    const sent = flags.send ? await send(needAsker(asker), explanation) : undefined;
    if (flags.output === "json") {
      output.out(`${JSON.stringify({ ...explanation, held, ...(sent && { sent }) }, null, 2)}\n`);
    } else {
      const colours = paint(output.colour);
      output.out(explainText(explanation, colours) + heldText(explanation, held, sent, colours));
      if (sent !== undefined) output.out(`\n${traceText(sent, colours, false)}`);
    }
    if (
      held.some(({ rows }) => rows?.some(({ differences }) => differences.length > 0)) ||
      contradicts(explanation, sent)
    )
      return 2;
    return explanation.verdict === "allow" ? 0 : 1;
  },
});

/** What the kernels of both ends' nodes hold; a node that does not answer says so. */
export interface NodeHeld extends HeldRows {
  readonly error?: string;
}

async function heldRows(
  asker: Asker,
  { flow, exempt }: Explanation,
  ends: readonly End[],
): Promise<readonly NodeHeld[]> {
  if (exempt !== undefined) return [];
  const nodes = new Set(
    ends.flatMap((end) => (end.kind === "pod" && end.pod.node !== undefined ? [end.pod.node] : [])),
  );
  return Promise.all(
    [...nodes].map(async (node) => {
      try {
        return await asker.ask(node, "policyRows", flow);
      } catch (error) {
        return { node, error: describeError(error) };
      }
    }),
  );
}

function needAsker(asker: Asker | undefined): Asker {
  if (asker !== undefined) return asker;
  throw new TwillError("invalid", "--send needs this node's agent", { remedy: "start it, and leave --datastore away" });
}

const sendTimeoutMs = 1_000;

/** The same packet, from the pod itself, watched on its way. @throws TwillError where the pod is on another node. */
async function send(asker: Asker, { from, to, flow }: Explanation): Promise<Trace> {
  const protocol = (
    [
      ["tcp", protocols.tcp],
      ["udp", protocols.udp],
      ["icmp", protocols.icmp],
      ["icmp", protocols.icmpv6],
    ] as const
  ).find(([, number]) => number === flow.protocol)?.[0];
  if (protocol === undefined) {
    throw new TwillError("unsupported", "only TCP, UDP and ICMP can be sent", { operation: "explain --send" });
  }
  if (from.kind === "outside") {
    throw new TwillError("invalid", "nothing can be sent from outside of the cluster", {
      remedy: "send it there yourself",
    });
  }
  if (from.kind === "node" && from.name !== asker.node) {
    throw new TwillError("invalid", `nothing can be sent from ${from.name} here`, { remedy: `run it on ${from.name}` });
  }
  return trace(asker, {
    from: from.kind === "pod" ? await findOwnPod(asker, from.name) : undefined,
    to: {
      address: to.address,
      ...(to.kind === "pod" && to.node !== undefined ? { pod: { node: to.node, id: to.name } } : {}),
    },
    protocol,
    timeout: sendTimeoutMs,
    ...(protocol === "icmp" ? {} : { port: flow.port }),
  });
}

/** A packet that nobody answers proves nothing against "allowed": perhaps nobody listens there. */
export const contradicts = (explanation: Explanation, sent: Trace | undefined): boolean =>
  sent?.ok === true && explanation.verdict === "deny";
