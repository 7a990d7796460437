import { type CapturePlace, type Passage, placeName } from "../../src/insight/capture.ts";
import type { Paint } from "./status-text.ts";

/** One line a packet, and under it where it was seen and when; as many as a person reads. */
const maximumPassages = 500;

export function captureText(passages: readonly Passage[], places: readonly CapturePlace[], colours: Paint): string {
  const [first] = passages;
  if (first === undefined) return "no packet was seen\n";
  const lines: string[] = [];
  for (const { text, time, stops } of passages.slice(0, maximumPassages)) {
    lines.push(`${seconds(time - first.time)}  ${colours.strong(text)}`);
    for (const { place, outgoing, after } of stops) {
      const at = places[place];
      const name = at === undefined ? "?" : placeName(at);
      lines.push(`  ${`+${microseconds(after)}`.padStart(12)}  ${outgoing ? "out" : "in "}  ${name}`);
    }
  }
  if (passages.length > maximumPassages)
    lines.push(`and ${passages.length - maximumPassages} packets more: -w FILE has all`);
  return `${lines.join("\n")}\n`;
}

const seconds = (nanoseconds: bigint): string => (Number(nanoseconds) / 1e9).toFixed(6).padStart(10);
const microseconds = (nanoseconds: bigint): string => `${(Number(nanoseconds) / 1000).toFixed(0)} µs`;
