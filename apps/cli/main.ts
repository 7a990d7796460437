import { describeError } from "../../src/base/errors.ts";
import { revision, version } from "../version.ts";
import { logLevel, status } from "./agent-commands.ts";
import { applyCommand } from "./apply-command.ts";
import { backend } from "./backend-command.ts";
import { bundle } from "./bundle-command.ts";
import { capture } from "./capture-command.ts";
import { type Command, command, type Output, runCommand } from "./command.ts";
import { bashCompletion, zshCompletion } from "./completion.ts";
import { config } from "./config-command.ts";
import { convertCommand } from "./convert-command.ts";
import { deleteCommand } from "./delete-command.ts";
import { diffCommand } from "./diff-command.ts";
import { doctor } from "./doctor-command.ts";
import { explainCommand } from "./explain-command.ts";
import { flowsCommand } from "./flows-command.ts";
import { get } from "./get-command.ts";
import { installCni } from "./install-cni-command.ts";
import { labCommand } from "./lab-command.ts";
import { policyCommand } from "./policy-command.ts";
import { traceCommand } from "./trace-command.ts";
import { uninstall } from "./uninstall-command.ts";

const printed = (name: string, summary: string, text: () => string): Command =>
  command({
    name,
    summary,
    run: (_, output) => {
      output.out(text());
      return 0;
    },
  });

const versionCommand = printed(
  "version",
  "Print the version of this program",
  () => `twill ${version} (${revision}), Bun ${Bun.version}\n`,
);

const completion = command({
  name: "completion",
  usage: "bash|zsh",
  summary: "Print a completion script for your shell",
  help: `
  source <(twill completion bash)
  source <(twill completion zsh)`,
  subcommands: [
    printed("bash", "for bash", () => bashCompletion(root)),
    printed("zsh", "for zsh", () => zshCompletion(root)),
  ],
});

const root: Command = {
  name: "twill",
  summary: "Twill: the pod network of a Kubernetes cluster, whole",
  subcommands: [
    status,
    doctor,
    traceCommand,
    explainCommand,
    policyCommand,
    diffCommand,
    capture,
    flowsCommand,
    bundle,
    get,
    applyCommand,
    config,
    backend,
    convertCommand,
    deleteCommand,
    logLevel,
    labCommand,
    installCni,
    uninstall,
    completion,
    versionCommand,
  ],
  help: `
Start here:
  twill lab up        a cluster on this machine, with every path checked
  twill status        on a node: how it is, and every other node as this one measures it
  twill doctor        on a node: why pods cannot talk, and what to do`,
};

const output: Output = {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
  columns: process.stdout.isTTY ? process.stdout.columns : undefined,
  colour: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
};

/** @param name as the person called it, for the usage lines: "kubectl twill" for kubectl's plugin. */
export async function main(argv: readonly string[], name = root.name): Promise<void> {
  try {
    process.exitCode = await runCommand({ ...root, name }, argv, output);
  } catch (error) {
    process.stderr.write(`twill: ${describeError(error)}\n`);
    process.exitCode = 1;
  }
}
