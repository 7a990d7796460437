import { describeCount, describeWay, describeWhy } from "../../src/insight/flows/flow-text.ts";
import type { Flow } from "../../src/model/flow.ts";
import type { Paint } from "./status-text.ts";

/** A flow, and the node that told of it. */
export interface NodeFlow {
  readonly node: string;
  readonly flow: Flow;
}

/**
 * One line, for who reads it at night: time, verdict, from → to, how often, why. @param now for the date, which is left out today.
 * @param node whether to say whose it is.
 */
export function flowLine({ node, flow }: NodeFlow, now: number, colours: Paint, withNode: boolean): string {
  const { verdict, count } = flow;
  const word = verdict === "deny" ? colours.bad("denied ") : colours.good(count === 0 ? "ended  " : "allowed");
  const often = describeCount(flow);
  const parts = [
    timeOf(flow.until, now),
    word,
    ...(withNode ? [`${printable(node)}:`] : []),
    colours.strong(printable(describeWay(flow))),
    ...(often === "" ? [] : [`(${often})`]),
    `— ${printable(describeWhy(flow))}`,
  ];
  return `${parts.join(" ")}\n`;
}

/** With the time as people write it, and whose it is. */
export function flowJson({ node, flow }: NodeFlow): string {
  return `${JSON.stringify({ time: new Date(flow.until).toISOString(), node, ...flow })}\n`;
}

/** Of this machine's time zone. */
function timeOf(milliseconds: number, now: number): string {
  const date = new Date(milliseconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  if (date.toDateString() === new Date(now).toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** Names come from elsewhere, and a terminal does what it is told. */
const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, "?");
