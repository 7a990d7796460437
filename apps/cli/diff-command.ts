import { TwillError } from "../../src/base/errors.ts";
import { cutFlows } from "../../src/insight/policy/cut-flows.ts";
import { diffPolicies } from "../../src/insight/policy/diff.ts";
import { reportDiff } from "../../src/insight/policy/diff-report.ts";
import { defaultDatastore, defaultRunDir } from "../defaults.ts";
import { boolean, choice, list, optional, text, withLetter } from "../flags.ts";
import { changedModel } from "./changed-model.ts";
import { command } from "./command.ts";
import { diffText } from "./diff-text.ts";
import { timeBefore } from "./flows-command.ts";
import { keptFlows } from "./kept-flows.ts";
import { manifestFlags, readGiven } from "./manifest-files.ts";
import { readPolicyModel } from "./policy-model.ts";
import { paint } from "./status-text.ts";

export const diffCommand = command({
  name: "diff",
  usage: "-f FILE [--delete KIND/NAME]",
  summary: "What a change of policies, labels or namespaces would open and close, before it is applied",
  help: `
Every pair of pods, nodes and addresses outside, every port: exact. What differs alike is said together. Connections that were seen (the
agents' kept flows) and would have been cut are counted. Nothing is changed. The exit status is 0 when nothing closes, else 1.

  twill diff -f policies/
  twill diff -f shop.yaml --no-flows
  twill diff --delete networkpolicy/shop/allow-web
  git diff --name-only main -- policies | xargs -n1 twill diff -f`,
  flags: {
    ...manifestFlags,
    delete: list("what is taken away: KIND/NAMESPACE/NAME, KIND/NAME", "KIND/NAME"),
    datastore: text(defaultDatastore, "where the cluster's state lives: embedded:FILE or kubernetes:KUBECONFIG", "URL"),
    runDir: text(defaultRunDir, "where the agent's socket is, for the kept flows", "DIR"),
    since: optional("flows from so long ago, 10m, 2h, 7d (default: all that are kept)", "TIME"),
    noFlows: boolean(false, "do not ask the agents for their flows"),
    output: withLetter("o", choice("text", ["text", "json"], "how it is printed")),
  },
  run: async ({ rest, flags }, output) => {
    const file = [...flags.file, ...rest];
    if (file.length + flags.delete.length === 0) {
      throw new TwillError("invalid", "which change?", { remedy: "twill diff -f FILE, or --delete KIND/NAME" });
    }
    const objects = file.length === 0 ? [] : readGiven({ ...flags, file }, output);
    const { model, unreadable } = await readPolicyModel(flags.datastore);
    for (const problem of unreadable) output.error(`warning: ${problem}\n`);
    const after = changedModel(model, objects, flags.delete, flags.namespace);
    const report = reportDiff(diffPolicies(model, after), model);
    const now = Date.now();
    const since = flags.since === undefined ? 0 : timeBefore(flags.since, now, "--since");
    const flows = flags.noFlows ? undefined : await keptFlows(flags.runDir, model, since, output);
    const cut = flows && cutFlows(model, after, flows, flags.output === "json" ? Number.POSITIVE_INFINITY : 10);
    if (flags.output === "json") output.out(`${JSON.stringify({ ...report, ...(cut && { cut }) }, null, 2)}\n`);
    else output.out(diffText(report, cut, now, paint(output.colour)));
    return report.changes.some(({ effect }) => effect === "closes") ? 1 : 0;
  },
});
