import { interfaceNameProblem } from "../interface-name.ts";
import { CniError, cniCodes } from "./cni-error.ts";
import { type PodArguments, parseArguments } from "./pod-arguments.ts";

export const cniCommands = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] as const;
export type CniCommand = (typeof cniCommands)[number];

/** What the runtime says in environment variables (CNI specification, section 2, "Parameters"), by command. */
export type CniEnvironment =
  | ({ readonly command: "ADD" | "CHECK"; readonly netns: string } & AttachmentVariables)
  /** `netns` is absent when the namespace is gone already. */
  | ({ readonly command: "DEL"; readonly netns?: string } & AttachmentVariables)
  | { readonly command: "GC" | "STATUS" | "VERSION" };

interface AttachmentVariables {
  readonly containerId: string;
  readonly ifname: string;
  readonly args: PodArguments;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** @throws CniError 4 naming every variable that is missing or wrong. */
export function parseEnvironment(variables: Variables): CniEnvironment {
  const command = cniCommands.find((known) => known === variables.CNI_COMMAND);
  if (command === undefined) {
    const found = variables.CNI_COMMAND;
    throw invalid([found === undefined ? "CNI_COMMAND is missing" : `CNI_COMMAND ${quoted(found)} is not known`]);
  }
  if (command === "GC" || command === "STATUS" || command === "VERSION") return { command };
  const problems: string[] = [];
  const containerId = checked("CNI_CONTAINERID", variables, problems, containerIdProblem);
  const ifname = checked("CNI_IFNAME", variables, problems, interfaceNameProblem);
  const netns =
    command === "DEL" && (variables.CNI_NETNS ?? "") === ""
      ? undefined
      : checked("CNI_NETNS", variables, problems, pathProblem);
  if (problems.length > 0) throw invalid(problems);
  const args = parseArguments(variables.CNI_ARGS ?? "");
  if (command === "DEL") return { command, containerId, ifname, args, ...(netns !== undefined && { netns }) };
  return { command, containerId, ifname, args, netns: netns ?? "" };
}

/** The specification's rule; the length is ours, for the id becomes part of keys and file names. */
export const containerIdProblem = (id: string): string | undefined =>
  id.length <= 200 && /^[a-zA-Z0-9][-a-zA-Z0-9_.]*$/.test(id)
    ? undefined
    : "it must begin with a letter or digit, and have up to 200 letters, digits, _, . and -";

const pathProblem = (path: string): string | undefined =>
  path.startsWith("/") && path.length < 4096 && !path.includes("\0") ? undefined : "it is not an absolute path";

function checked(
  name: string,
  variables: Variables,
  problems: string[],
  problemOf: (value: string) => string | undefined,
): string {
  const value = variables[name] ?? "";
  const problem = value === "" ? undefined : problemOf(value);
  if (value === "") problems.push(`${name} is missing`);
  else if (problem !== undefined) problems.push(`${name} ${quoted(value)} is invalid: ${problem}`);
  return value;
}

const quoted = (value: string): string => JSON.stringify(value.slice(0, 80));

const invalid = (problems: readonly string[]): CniError =>
  new CniError(cniCodes.invalidEnvironment, problems.join("; "), {
    remedy: "the plugin is called by a container runtime, which sets the CNI_* variables; a person wants `twill`",
  });
