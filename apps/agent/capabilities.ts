import { readFileSync } from "node:fs";

/** What the agent cannot do without, by bit (linux/capability.h), and what for. */
const needed = [
  { name: "NET_ADMIN", bit: 12n, purpose: "devices, routes and rules" },
  { name: "SYS_ADMIN", bit: 21n, purpose: "entering pods' network namespaces" },
] as const;

/**
 * Capabilities that this process lacks, one sentence each; empty when it has all. They cannot come back while it runs.
 * @param status of this process, proc_pid_status(5).
 */
export function missingCapabilities(status = readFileSync("/proc/self/status", "utf8")): readonly string[] {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (mask === undefined) return [];
  const held = BigInt(`0x${mask}`);
  return needed
    .filter(({ bit }) => ((held >> bit) & 1n) === 0n)
    .map(
      ({ name, purpose }) =>
        `the capability CAP_${name}, for ${purpose} (in the container's securityContext.capabilities.add, or run as root)`,
    );
}
