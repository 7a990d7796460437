import { TwillError } from "../base/errors.ts";

/** Longest name of a network device: IFNAMSIZ − 1 (linux/if.h), bytes. */
const longest = 15;

/** Why the kernel would not have a device of this name (dev_valid_name, net/core/dev.c); undefined when it would. */
export function interfaceNameProblem(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (new TextEncoder().encode(name).length > longest) return `it is longer than ${longest} bytes`;
  if (name === "." || name === "..") return `"${name}" is a directory`;
  if (/[/:\s\p{C}]/u.test(name)) return "it has a slash, colon, space or control character";
  // The kernel takes "eth%d" for a pattern and makes eth0, eth1, … of it (__dev_alloc_name).
  if (name.includes("%")) return "it has a %, which the kernel replaces";
  return undefined;
}

/** @throws TwillError `invalid`. */
export function parseInterfaceName(name: string): string {
  const problem = interfaceNameProblem(name);
  if (problem === undefined) return name;
  throw new TwillError("invalid", `${JSON.stringify(name.slice(0, 80))} is not an interface name: ${problem}`, {
    remedy: "use up to 15 letters, digits, - and .",
  });
}
