import type { Hop } from "../../src/insight/leg.ts";
import type { Sighting } from "../../src/insight/sightings.ts";
import type { Trace } from "../../src/insight/trace.ts";
import type { Paint } from "./status-text.ts";
import { formatTable } from "./table.ts";

/** What `twill trace` prints: the answer, what to do, then the way that shows it. */
export function traceText(trace: Trace, colours: Paint, all: boolean): string {
  const { from, to, ok } = trace;
  const target = to.pod === undefined ? to.address : `${to.pod} (${to.address}, ${to.node})`;
  const what = to.port === undefined ? "ICMP echo" : `${trace.protocol.toUpperCase()} port ${to.port}`;
  const lines = [
    `${from.pod ?? from.node} (${from.address}, ${from.node}) → ${target}, ${what}`,
    `${ok ? colours.good("ok") : colours.bad("broken")}: ${colours.strong(trace.answer)}`,
    ...(trace.remedy === undefined ? [] : [`do: ${trace.remedy}`]),
    ...trace.differences.map((difference) => colours.warn(`state and probe differ: ${difference}`)),
    "",
    table(trace.request, trace.sightings, "request"),
  ];
  const troubled = trace.reply.some(({ verdict }) => verdict !== "passes");
  if ((all || troubled || !ok) && trace.reply.length > 0)
    lines.push("the answer's way:", "", table(trace.reply, trace.sightings, "reply"));
  const blind = trace.sightings.filter((sighting) => sighting.blind !== undefined);
  for (const { node, device, blind: reason } of blind) lines.push(`not watched: ${node} ${device}: ${reason}`);
  const errors = [...new Set(trace.sightings.flatMap((sighting) => sighting.errors))];
  for (const error of errors) lines.push(`seen: ${error}`);
  return `${lines.join("\n").trimEnd()}\n`;
}

const marks = { passes: "", stops: "STOPS  ", unsure: "perhaps  " } as const;

function table(hops: readonly Hop[], sightings: readonly Sighting[], what: "request" | "reply"): string {
  const rows = hops.map((hop) => [hop.node, hop.place, seen(hop, sightings, what), `${marks[hop.verdict]}${hop.text}`]);
  return formatTable(["NODE", "AT", "PROBE", "BY THE KERNEL'S STATE"], rows);
}

function seen({ node, watch }: Hop, sightings: readonly Sighting[], what: "request" | "reply"): string {
  if (watch === undefined) return "";
  const found = sightings.find(
    (sighting) => sighting.node === node && sighting.device === watch.device && sighting.pod === watch.pod,
  );
  if (found === undefined || found.blind !== undefined) return "?";
  return found[what] ? "seen" : "NOT SEEN";
}
