import { existsSync } from "node:fs";
import { isCode, TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { type End, findEnd, podWithoutPolicy } from "../../src/insight/policy/end.ts";
import { modelOf } from "../../src/insight/policy/model-part.ts";
import type { PolicyModel } from "../../src/model/policy.ts";
import { defaultDatastore } from "../defaults.ts";
import type { Output } from "./command.ts";
import { agentAsker, findPod } from "./look-asker.ts";
import { readPolicyModel } from "./policy-model.ts";

/** Undefined: it is away, and the policies are read from where they usually are. @throws TwillError where that is nowhere here. */
export function askerOrNone(runDir: string, output: Output): Asker | undefined {
  try {
    return agentAsker(runDir);
  } catch (error) {
    if (!isCode(error, "unavailable")) throw error;
    if (!existsSync(defaultDatastore.replace(/^embedded:/, ""))) {
      throw new TwillError("unavailable", error.message, {
        operation: "ask about policy",
        remedy: "start twill-agent; or give --datastore URL, and the policies are read from there",
        cause: error.cause,
      });
    }
    output.error(`${error.message}: policies as the datastore has them, and no kernel is asked\n`);
    return undefined;
  }
}

export interface FoundEnds {
  /** As much as there is to say about them. */
  readonly model: PolicyModel;
  readonly ends: readonly End[];
}

/** What people named, by what the agent knows, or by the datastore. @throws TwillError `not-found`, `invalid`. */
export async function findEnds(
  asker: Asker | undefined,
  { datastore = defaultDatastore, namespace }: { readonly datastore?: string | undefined; readonly namespace: string },
  texts: readonly string[],
): Promise<FoundEnds> {
  const find = (model: PolicyModel): FoundEnds => ({
    model,
    ends: texts.map((text) => findEnd(model, text, namespace)),
  });
  if (asker === undefined) return find((await readPolicyModel(datastore)).model);
  const ask = (ends: readonly string[]) => asker.ask(asker.node, "policyPart", { ends });
  const named = texts.filter((text) => text !== "outside");
  try {
    return find(modelOf(await ask(named)));
  } catch (error) {
    // The agent knows no default namespace: of several pods of a name, ours is meant.
    if (isCode(error, "invalid"))
      return find(modelOf(await ask(named.map((end) => (/[/:.]/.test(end) ? end : `${namespace}/${end}`)))));
    if (!isCode(error, "not-found")) throw error;
    const nobody = await ask([]);
    if (nobody.total > 0) throw error;
    const model = modelOf(nobody);
    return { model, ends: await Promise.all(texts.map((text) => withoutPolicy(asker, model, text))) };
  }
}

/** Nobody follows who is who: each node knows its own pods. */
async function withoutPolicy(asker: Asker, model: PolicyModel, text: string): Promise<End> {
  const found = text === "outside" ? undefined : await findPod(asker, text);
  if (found === undefined) return findEnd(model, text);
  const { namespace, name, addresses } = found.place;
  return podWithoutPolicy(namespace, name, found.node, addresses);
}
