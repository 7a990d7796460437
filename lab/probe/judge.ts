import type { Address } from "../../src/base/address.ts";
import type { Measured } from "./measure.ts";
import { type Pair, type PairResult, type Protocol, protocols, type Verdict } from "./result.ts";

export interface Observed extends Measured {
  readonly verdicts: Readonly<Record<Protocol, Verdict>>;
}

/**
 * Whether what was observed is what a pod network promises (Kubernetes' network model): all protocols answered, pods see
 * each other's own addresses, the outside sees the node's.
 * @param nodeAddresses underlay addresses of the pod's node.
 */
export function judge(pair: Pair, observed: Observed, nodeAddresses: readonly Address[]): PairResult {
  const faults = unansweredFaults(observed.verdicts);
  if (observed.promisedMtu !== undefined)
    faults.push(
      `packets above ${observed.mtu} bytes vanish without an ICMP error; ${observed.promisedMtu} were promised`,
    );
  const seen = new Set(
    protocols.flatMap((protocol) => {
      const verdict = observed.verdicts[protocol];
      return "seen" in verdict && verdict.seen !== undefined ? [verdict.seen] : [];
    }),
  );
  for (const address of seen) {
    const own = pair.from.addresses[pair.family];
    if (pair.relation === "pod-pod" && address !== own)
      faults.push(`${pair.to.name} sees ${address} instead of the pod's own ${own}: translated on the way`);
    if (pair.relation === "pod-outside" && !nodeAddresses.includes(address))
      faults.push(`the outside sees ${address}, not an address of ${pair.from.node}: not masqueraded`);
  }
  return { ...pair, ...observed, faults };
}

/** Protocols that fail alike are named together: "TCP, UDP, ICMP timed out: …". */
export function unansweredFaults(verdicts: Observed["verdicts"]): string[] {
  const failed = new Map<string, Protocol[]>();
  for (const protocol of protocols) {
    const fault = unanswered(verdicts[protocol]);
    if (fault !== undefined) failed.set(fault, [...(failed.get(fault) ?? []), protocol]);
  }
  return [...failed].map(([fault, names]) => `${names.join(", ").toUpperCase()} ${fault}`);
}

function unanswered(verdict: Verdict): string | undefined {
  switch (verdict.outcome) {
    case "connected":
    case "denied":
      return undefined;
    case "refused":
      return "refused";
    case "unreachable":
      return `unreachable: ${verdict.reason}`;
    case "timed out":
      return verdict.seen === undefined ? "timed out: it never arrived" : "timed out: it arrived, the answer did not";
  }
}
