import { TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { readFlow } from "../../src/insight/flows/flow-line.ts";
import { FlowEnds } from "../../src/insight/policy/flow-ends.ts";
import type { Flow } from "../../src/model/flow.ts";
import type { PolicyModel } from "../../src/model/policy.ts";
import type { Output } from "./command.ts";
import { agentAsker } from "./look-asker.ts";

/**
 * Allowed flows that the agents keep, each connection once: the nodes of both ends tell of it, and the sender's counts where it answers.
 * @param since milliseconds since 1970. @returns undefined where no agent runs.
 */
export async function keptFlows(
  runDir: string,
  model: PolicyModel,
  since: number,
  output: Output,
): Promise<readonly Flow[] | undefined> {
  let asker: Asker;
  try {
    asker = agentAsker(runDir);
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
  const byNode = new Map<string, readonly Flow[]>();
  for (const { name } of asker.nodes) {
    try {
      byNode.set(name, await flowsOf(asker, name, since));
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      output.error(`${name}: its flows are not known: ${error.message}\n`);
    }
  }
  const ends = new FlowEnds(model);
  return [...byNode].flatMap(([name, flows]) =>
    flows.filter(({ source }) => {
      const home = model.endpoints.get(ends.pod(source) ?? "")?.node;
      return home === undefined || home === name || !byNode.has(home);
    }),
  );
}

const pageLimit = 1000;

async function flowsOf(asker: Asker, node: string, since: number): Promise<readonly Flow[]> {
  const flows: Flow[] = [];
  for (let place = 0, more = true; more; ) {
    const page = await asker.ask(node, "flows", { filter: { since, verdict: "allow" }, limit: pageLimit, place });
    flows.push(...page.flows.map(readFlow));
    ({ more, next: place } = page);
  }
  return flows;
}
