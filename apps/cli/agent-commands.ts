import { TwillError } from "../../src/base/errors.ts";
import { levels } from "../../src/base/log.ts";
import { callAgent } from "../../src/rpc/client.ts";
import type { Method, Params, Result } from "../../src/rpc/methods.ts";
import { agentSocket, defaultRunDir } from "../defaults.ts";
import { choice, text, withLetter } from "../flags.ts";
import { command } from "./command.ts";
import { printValue } from "./print-value.ts";
import { paint, statusText } from "./status-text.ts";

const where = { runDir: text(defaultRunDir, "where the agent's socket is", "DIR") };
const timeout = 10_000;

export function ask<M extends Method>(runDir: string, method: M, params: Params<M>): Result<M> {
  return callAgent(method, params, { path: agentSocket(runDir), timeout });
}

export const status = command({
  name: "status",
  summary: "What is wrong on this node and what to do; every node, as this one's agent measured it",
  help: `
REACHED is measured by this node's agent, over the underlay and through the tunnel; REACHES US is what the other agent says
that it measured. The exit status is 0 when the node is ready and has no problem, 1 otherwise.

  twill status
  twill status -o json | jq .problems`,
  flags: { ...where, output: withLetter("o", choice("text", ["text", "json", "yaml"], "how it is printed")) },
  run: ({ flags }, output) => {
    const report = ask(flags.runDir, "status", {});
    if (flags.output === "text") output.out(statusText(report, Date.now(), paint(output.colour)));
    else printValue(report, flags.output, output);
    return report.ready && report.problems.every((problem) => problem.severity !== "error") ? 0 : 1;
  },
});

export const logLevel = command({
  name: "log-level",
  usage: "[LEVEL]",
  summary: "Show or change how much this node's agent logs, while it runs",
  words: levels,
  flags: where,
  run: ({ rest, flags }, output) => {
    const wanted = rest[0];
    const level = levels.find((candidate) => candidate === wanted);
    if (wanted !== undefined && level === undefined) {
      throw new TwillError("invalid", `"${wanted}" is no log level`, { remedy: `use ${levels.join(", ")}` });
    }
    output.out(`${ask(flags.runDir, "logLevel", level === undefined ? {} : { level }).level}\n`);
    return 0;
  },
});
