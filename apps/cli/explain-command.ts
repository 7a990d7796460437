import { existsSync } from "node:fs";
import { familyOf } from "../../src/base/address.ts";
import { describeError, isCode, TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { addressesBetween, type End, findEnd, podWithoutPolicy } from "../../src/insight/policy/end.ts";
import { type Explanation, explain } from "../../src/insight/policy/explain.ts";
import type { HeldRows } from "../../src/insight/policy/held-rows.ts";
import { modelOf } from "../../src/insight/policy/model-part.ts";
import { parseTarget, resolvePort } from "../../src/insight/policy/target.ts";
import { type Trace, trace } from "../../src/insight/trace.ts";
import { type PolicyModel, protocols } from "../../src/model/policy.ts";
import { defaultDatastore, defaultRunDir } from "../defaults.ts";
import { boolean, choice, optional, text, withLetter } from "../flags.ts";
import { command, type Output } from "./command.ts";
import { explainText } from "./explain-text.ts";
import { heldText } from "./held-text.ts";
import { agentAsker, findOwnPod, findPod } from "./look-asker.ts";
import { readPolicyModel } from "./policy-model.ts";
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
    const { model, ends } = await endsFor(asker, flags, [fromText, target.host]);
    const [source, destination] = addressesBetween(...ends);
    const port = resolvePort(target, ends[1], familyOf(destination));
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

/** Undefined: it is away, and the policies are read from where they usually are. @throws TwillError where that is nowhere here. */
function askerOrNone(runDir: string, output: Output): Asker | undefined {
  try {
    return agentAsker(runDir);
  } catch (error) {
    if (!isCode(error, "unavailable")) throw error;
    if (!existsSync(defaultDatastore.replace(/^embedded:/, ""))) {
      throw new TwillError("unavailable", error.message, {
        operation: "explain",
        remedy: "start twill-agent; or give --datastore URL, and the policies are read from there",
        cause: error.cause,
      });
    }
    output.error(`${error.message}: policies as the datastore has them, and no kernel is asked\n`);
    return undefined;
  }
}

interface Ends {
  readonly model: PolicyModel;
  readonly ends: readonly [End, End];
}

async function endsFor(
  asker: Asker | undefined,
  { datastore, namespace }: { readonly datastore: string | undefined; readonly namespace: string },
  texts: readonly [string, string],
): Promise<Ends> {
  const find = (model: PolicyModel): Ends => {
    const [from, to] = texts;
    return { model, ends: [findEnd(model, from, namespace), findEnd(model, to, namespace)] };
  };
  if (asker === undefined) return find((await readPolicyModel(datastore ?? defaultDatastore)).model);
  const named = texts.filter((end) => end !== "outside");
  const ask = async (names: readonly string[]): Promise<PolicyModel> =>
    modelOf(await asker.ask(asker.node, "policyPart", { ends: names }));
  try {
    return find(await ask(named));
  } catch (error) {
    // The agent knows no default namespace: of several pods of a name, ours is meant.
    if (isCode(error, "invalid"))
      return find(await ask(named.map((end) => (/[/:.]/.test(end) ? end : `${namespace}/${end}`))));
    if (!isCode(error, "not-found")) throw error;
    const nobody = await asker.ask(asker.node, "policyPart", { ends: [] });
    if (nobody.total > 0) throw error;
    const model = modelOf(nobody);
    const [from, to] = texts;
    return { model, ends: [await withoutPolicy(asker, model, from), await withoutPolicy(asker, model, to)] };
  }
}

async function withoutPolicy(asker: Asker, model: PolicyModel, text: string): Promise<End> {
  const found = await findPod(asker, text);
  if (found === undefined) return findEnd(model, text);
  const { namespace, name, addresses } = found.place;
  return podWithoutPolicy(namespace, name, found.node, addresses);
}

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
