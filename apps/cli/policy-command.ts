import { TwillError } from "../../src/base/errors.ts";
import { PolicyIndex } from "../../src/insight/policy/applied.ts";
import { cutsDns } from "../../src/insight/policy/cuts-dns.ts";
import { findEnd } from "../../src/insight/policy/end.ts";
import { type LintFinding, plainLint } from "../../src/insight/policy/lint.ts";
import { RuleUses } from "../../src/insight/policy/rule-uses.ts";
import { shadowedRules } from "../../src/insight/policy/shadowed.ts";
import { suggestPolicies } from "../../src/insight/policy/suggest.ts";
import { type EndpointName, type PolicyModel, policyName } from "../../src/model/policy.ts";
import { defaultDatastore, defaultRunDir } from "../defaults.ts";
import { boolean, choice, optional, text, withLetter } from "../flags.ts";
import { changedModel } from "./changed-model.ts";
import { command, type Output } from "./command.ts";
import { placeText } from "./explain-text.ts";
import { timeBefore } from "./flows-command.ts";
import { keptFlows } from "./kept-flows.ts";
import { lintText } from "./lint-text.ts";
import { agentAsker } from "./look-asker.ts";
import { manifestFlags, readGiven } from "./manifest-files.ts";
import { askerOrNone, findEnds } from "./policy-ends.ts";
import { readPolicyModel } from "./policy-model.ts";
import { policyShowText } from "./policy-show-text.ts";
import { paint } from "./status-text.ts";

const where = {
  datastore: text(defaultDatastore, "where the cluster's state lives: embedded:FILE or kubernetes:KUBECONFIG", "URL"),
  runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
  namespace: withLetter("n", text("default", "of pods named without one", "NAMESPACE")),
};
const textOrJson = withLetter("o", choice("text", ["text", "json"], "how it is printed"));

const show = command({
  name: "show",
  usage: "POD",
  summary: "Everything that decides about one pod, in the order in which it is asked",
  help: `
With how often each rule decided, where the agents can be asked: first packets of connections, and all that were denied, on all nodes.

  twill policy show shop/web-0
  twill policy show 10.244.3.7`,
  flags: {
    ...where,
    datastore: optional(
      "read policies from there, and not from this node's agent: embedded:FILE or kubernetes:KUBECONFIG",
      "URL",
    ),
    output: textOrJson,
  },
  run: async ({ rest, flags }, output) => {
    const name = needOne(rest, "twill policy show POD");
    const asker = flags.datastore === undefined ? askerOrNone(flags.runDir, output) : undefined;
    const { model, ends } = await findEnds(asker, flags, [name]);
    const [end] = ends;
    if (end?.kind !== "pod") {
      throw new TwillError("invalid", `${name} is no pod, so no policy selects it`, {
        remedy: "twill get pods lists them",
      });
    }
    const index = new PolicyIndex(model);
    const directions = (["ingress", "egress"] as const).map((direction) => ({
      direction,
      tiers: index.applied(end.pod, direction),
    }));
    const uses = await rulesUsed(flags.runDir, output);
    if (flags.output === "json") {
      const counted = directions.map(({ direction, tiers }) => ({
        direction,
        tiers: tiers.map(({ tier, policies }) => ({
          ...tier,
          policies: policies.map((policy) => ({
            ...policy,
            uses: (policy[direction] ?? []).map((_, rule) => uses?.ofRule(policy, direction, rule) ?? null),
          })),
        })),
      }));
      output.out(`${JSON.stringify({ pod: end.name, directions: counted }, null, 2)}\n`);
      return 0;
    }
    const place = [...end.addresses, end.pod.node].filter((part) => part !== undefined).join(", ");
    const view = { pod: end.name, where: place, directions, ...(uses && { uses }) };
    output.out(policyShowText(view, Date.now(), paint(output.colour)));
    return 0;
  },
});

const unused = command({
  name: "unused",
  summary: "Rules that decided nothing on any node since they are in force there",
  help: `
What a rule decided is counted in the kernel, and begins anew when a node restarts. A rule of a new policy, or for something that happens
once a month, is listed as well. The exit status is 0 when every rule was used.

  twill policy unused
  twill policy unused -o json`,
  flags: { ...where, output: textOrJson },
  run: async ({ flags }, output) => {
    const { model } = await readPolicyModel(flags.datastore);
    const uses = await rulesUsed(flags.runDir, output);
    if (uses === undefined) {
      throw new TwillError("unavailable", "no agent answers, and only they know what was used", {
        remedy: "run it on a node",
      });
    }
    const rules = uses.unused(model);
    if (flags.output === "json") output.out(`${JSON.stringify(rules, null, 2)}\n`);
    else if (rules.length === 0) output.out("every rule was used\n");
    else for (const rule of rules) output.out(`${placeText(rule)}, ${rule.direction}\n`);
    return rules.length === 0 ? 0 : 1;
  },
});

const lint = command({
  name: "lint",
  usage: "[-f FILE]",
  summary:
    "What of the policies is most likely not meant: rules that never count, selectors that match nobody, DNS cut off",
  help: `
With -f as if the files were applied, and only of their policies. The exit status is 0 when there is no error and no warning (notes do
not count), else 1.

  twill policy lint
  twill policy lint -f policies/`,
  flags: { ...manifestFlags, datastore: where.datastore, output: textOrJson },
  run: async ({ rest, flags }, output) => {
    const file = [...flags.file, ...rest];
    const objects = file.length === 0 ? [] : readGiven({ ...flags, file }, output);
    const read = await readPolicyModel(flags.datastore);
    const model = objects.length === 0 ? read.model : changedModel(read.model, objects, [], flags.namespace);
    const own = new Set(
      objects.flatMap((object) => ("policy" in object.read ? [policyName(object.read.policy.id)] : [])),
    );
    const all = [
      ...plainLint(model),
      ...shadowedRules(model),
      ...cutsDns(model),
      ...(objects.length === 0 ? read.doubtful : []),
    ];
    const findings = all.filter(({ place }) => own.size === 0 || own.has(place.policy)).sort(bySeverity);
    if (flags.output === "json") output.out(`${JSON.stringify(findings, null, 2)}\n`);
    else output.out(lintText(findings, own.size || model.policies.size, paint(output.colour)));
    return findings.some(({ severity }) => severity !== "note") ? 1 : 0;
  },
});

const severities: readonly LintFinding["severity"][] = ["error", "warning", "note"];
const bySeverity = (a: LintFinding, b: LintFinding): number =>
  severities.indexOf(a.severity) - severities.indexOf(b.severity);

const suggest = command({
  name: "suggest",
  usage: "POD|NAMESPACE/",
  summary: "The least policy that lets pass what a pod, or all pods of a namespace, were seen to do, as YAML",
  help: `
Made of the connections that the agents keep; what happens once a month is perhaps not among them: read it before you apply it, and look at
twill diff. Labels that controllers add (pod-template-hash…) are left out, so it holds for the pods that come after these.

  twill policy suggest shop/web-0 > web.yaml
  twill policy suggest shop/ --since 7d | twill diff -f -`,
  flags: {
    ...where,
    since: optional("flows from so long ago, 10m, 2h, 7d (default: all that are kept)", "TIME"),
    force: boolean(false, "also when no flow was seen"),
  },
  run: async ({ rest, flags }, output) => {
    const given = needOne(rest, "twill policy suggest POD, or NAMESPACE/");
    const { model } = await readPolicyModel(flags.datastore);
    const subjects = subjectsOf(model, given, flags.namespace);
    const since = flags.since === undefined ? 0 : timeBefore(flags.since, Date.now(), "--since");
    const flows = await keptFlows(flags.runDir, model, since, output);
    if (flows === undefined) {
      throw new TwillError("unavailable", "no agent answers, and only they keep flows", { remedy: "run it on a node" });
    }
    const { policies, seen, notes } = suggestPolicies(model, subjects, flows);
    if (seen === 0 && !flags.force) {
      throw new TwillError("not-found", "no connection of these pods is kept: the least policy would deny everything", {
        remedy: "wait until they have done what they do; --force prints it all the same",
      });
    }
    const comment = [`from ${seen} connections seen; what was not seen is denied`, ...notes];
    output.out(comment.map((line) => `# ${line}\n`).join(""));
    output.out(policies.map((policy) => `${Bun.YAML.stringify(policy, null, 2).trimEnd()}\n`).join("---\n"));
    return 0;
  },
});

/** "shop/" and "shop", where no pod is called so: all pods of the namespace. */
function subjectsOf(model: PolicyModel, given: string, namespace: string): ReadonlySet<EndpointName> {
  const space = given.replace(/\/$/, "");
  const isPod = model.endpoints.has(given) || model.endpoints.has(`${namespace}/${given}`);
  if (!isPod && model.namespaces.has(space)) {
    return new Set([...model.endpoints].flatMap(([name, { namespace: own }]) => (own === space ? [name] : [])));
  }
  const end = findEnd(model, given, namespace);
  if (end.kind === "pod") return new Set([end.name]);
  throw new TwillError("invalid", `${end.name} is no pod`, { remedy: "twill get pods lists them" });
}

function needOne(rest: readonly string[], usage: string): string {
  const [only, ...more] = rest;
  if (only !== undefined && more.length === 0) return only;
  throw new TwillError("invalid", only === undefined ? "which one?" : `"${more[0]}" is one too many`, {
    remedy: usage,
  });
}

/** Counted on all nodes that answer; undefined where no agent runs. */
async function rulesUsed(runDir: string, output: Output): Promise<RuleUses | undefined> {
  try {
    const asker = agentAsker(runDir);
    const uses = new RuleUses();
    for (const { name } of asker.nodes) {
      try {
        uses.add(await asker.ask(name, "decisions", {}));
      } catch (error) {
        if (!(error instanceof TwillError)) throw error;
        output.error(`${name}: what it counted is not known: ${error.message}\n`);
      }
    }
    return uses;
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
}

export const policyCommand = command({
  name: "policy",
  summary: "Policies looked at: what applies to a pod, what was used, what is wrong, what would do",
  subcommands: [show, lint, suggest, unused],
});
