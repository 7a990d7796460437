import type { Address } from "../../base/address.ts";
import type { Asker } from "../asker.ts";
import type { NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { podId } from "../node-view.ts";

/** Asks each server for the root's name servers, which every server answers somehow: by UDP, from a pod where there is one. */
export async function checkDns(
  asker: Asker,
  { node, view }: NodeFacts,
  servers: readonly Address[],
): Promise<Finding[]> {
  const pod = view.pods.find(({ kernel }) => kernel !== undefined);
  const from = pod === undefined ? {} : { pod: podId(pod) };
  const findings: Finding[] = [];
  for (const destination of servers) {
    const ask = () =>
      asker.ask(node, "probe", { ...from, destination, protocol: "udp", port: 53, dns: true, timeout: 1500 });
    let outcome = await ask();
    if (outcome.result !== "answered") outcome = await ask();
    if (outcome.result === "answered") continue;
    findings.push({
      id: "dns",
      severity: "error",
      node,
      subject: destination,
      title: `the DNS server ${destination} does not answer ${pod === undefined ? node : `pod ${podId(pod)}`}`,
      explanation: "pods reach each other by address and not by name",
      evidence: [`UDP port 53, two questions: ${outcome.result}`],
      remedy: `twill trace ${pod === undefined ? "POD" : podId(pod)} ${destination}:53 --udp shows how far it comes; is the server (CoreDNS) running?`,
    });
  }
  return findings;
}
