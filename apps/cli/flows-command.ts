import { describeError, TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { parseEndFilter } from "../../src/insight/flows/flow-filter.ts";
import { readFlow } from "../../src/insight/flows/flow-line.ts";
import type { FlowFilter, FlowPage } from "../../src/model/flow.ts";
import { defaultRunDir } from "../defaults.ts";
import { boolean, choice, optional, text, withLetter } from "../flags.ts";
import { command, type Output } from "./command.ts";
import { flowJson, flowLine, type NodeFlow } from "./flows-text.ts";
import { agentAsker } from "./look-asker.ts";
import { paint } from "./status-text.ts";

export const flowsCommand = command({
  name: "flows",
  summary: "Connections and packets of this node's pods that policy allowed and denied, and the rule that did",
  help: `
Each node keeps what its own pods sent and received: denied packets and connections that began, alike ones summed up for a minute, each
with the rule that decided. An END is NAMESPACE/POD, NAMESPACE/, POD, a name that ends in *, node/NODE, an address, a network, or outside.

  twill flows --denied --since 10m
  twill flows --follow --to shop/db-0
  twill flows --all --denied --with shop/
  twill flows --from outside -o json | jq .destination.name`,
  flags: {
    runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
    follow: withLetter("f", boolean(false, "go on with what comes; Ctrl-C ends it")),
    denied: boolean(false, "only what was denied"),
    allowed: boolean(false, "only what was allowed"),
    from: optional("who sent", "END"),
    to: optional("who was to receive it, behind a Service", "END"),
    with: optional("either end", "END"),
    since: optional("from so long ago, 10m, 2h, 7d, or a time (default: 1h; with --follow 1m)", "TIME"),
    until: optional("up to then", "TIME"),
    all: boolean(false, "of all nodes, each asked by its own agent"),
    output: withLetter("o", choice("text", ["text", "json"], "json: a line each")),
  },
  run: async ({ flags, rest }, output) => {
    if (rest.length > 0) {
      throw new TwillError("invalid", `"${rest[0]}" is not a flag`, { remedy: "twill flows --with POD" });
    }
    if (flags.denied && flags.allowed) throw new TwillError("invalid", "--denied and --allowed exclude each other");
    const now = Date.now();
    const filter: FlowFilter = {
      since: timeBefore(flags.since ?? (flags.follow ? "1m" : "1h"), now, "--since"),
      ...(flags.until === undefined ? {} : { until: timeBefore(flags.until, now, "--until") }),
      ...(flags.denied ? { verdict: "deny" } : flags.allowed ? { verdict: "allow" } : {}),
      ...(flags.from === undefined ? {} : { from: parseEndFilter(flags.from) }),
      ...(flags.to === undefined ? {} : { to: parseEndFilter(flags.to) }),
      ...(flags.with === undefined ? {} : { with: parseEndFilter(flags.with) }),
    };
    const asker = agentAsker(flags.runDir);
    const names = flags.all ? asker.nodes.map(({ name }) => name).toSorted() : [asker.node];
    const tails = names.map((name) => new NodeTail(asker, name, filter, output));
    const colours = paint(output.colour);
    const print = (told: NodeFlow) =>
      output.out(flags.output === "json" ? flowJson(told) : flowLine(told, now, colours, flags.all));
    await printAll(tails, print);
    if (flags.follow) await follow(tails, print);
    return tails.some((tail) => tail.answered) ? 0 : 1;
  },
});

/** "10m" before now, or a time of its own, in milliseconds since 1970. */
export function timeBefore(given: string, now: number, flag: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(s|m|h|d)$/.exec(given) ?? [];
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 }[unit ?? ""];
  if (amount !== undefined && seconds !== undefined) return now - Number(amount) * seconds * 1000;
  const time = Date.parse(given);
  if (!Number.isNaN(time)) return time;
  throw new TwillError("invalid", `${flag}: "${given}" is neither a duration nor a time`, {
    remedy: "write 90s, 10m, 2h, 7d or 2026-11-21T18:00:00Z",
  });
}

const pageLimit = 1000;
const pollMs = 1000;
/** A node that is away keeps this thread waiting while it is asked. */
const askAgainMs = 30_000;

/** Reads one node's flows, from where it stopped the last time. A node that does not answer is said once, and asked again later. */
class NodeTail {
  readonly node: string;
  readonly #asker: Asker;
  readonly #filter: FlowFilter;
  readonly #output: Output;
  #place: number | undefined;
  #lost: number | undefined;
  #notBefore = 0;
  answered = false;

  constructor(asker: Asker, node: string, filter: FlowFilter, output: Output) {
    this.#asker = asker;
    this.node = node;
    this.#filter = filter;
    this.#output = output;
  }

  /** What there is now. */
  async *read(): AsyncGenerator<NodeFlow> {
    for (;;) {
      const page = await this.#page();
      if (page === undefined) return;
      for (const flow of page.flows) yield { node: this.node, flow: readFlow(flow) };
      if (!page.more) return;
    }
  }

  async #page(): Promise<FlowPage | undefined> {
    if (performance.now() < this.#notBefore) return undefined;
    try {
      const page = await this.#asker.ask(this.node, "flows", {
        filter: this.#filter,
        limit: pageLimit,
        ...(this.#place === undefined ? {} : { place: this.#place }),
      });
      this.#tellOf(page);
      this.#place = page.next;
      this.answered = true;
      this.#notBefore = 0;
      return page;
    } catch (error) {
      if (this.#notBefore === 0) this.#output.error(`${this.node}: ${describeError(error)}\n`);
      this.#notBefore = performance.now() + askAgainMs;
      return undefined;
    }
  }

  #tellOf({ missed, lost }: FlowPage): void {
    if (missed > 0) this.#output.error(`${this.node}: ${missed} flows are no longer kept\n`);
    const more = lost - (this.#lost ?? lost);
    if (more > 0) this.#output.error(`${this.node}: ${more} events were lost: more came than are read\n`);
    this.#lost = lost;
  }
}

/** In order of time, as far as each node tells in order. */
async function printAll(tails: readonly NodeTail[], print: (told: NodeFlow) => void): Promise<void> {
  const sources: { readonly rest: AsyncGenerator<NodeFlow>; next: NodeFlow }[] = [];
  for (const tail of tails) {
    const rest = tail.read();
    const { value, done } = await rest.next();
    if (done !== true) sources.push({ rest, next: value });
  }
  while (sources.length > 0) {
    let earliest = 0;
    for (const [index, { next }] of sources.entries())
      if (next.flow.until < (sources[earliest]?.next.flow.until ?? 0)) earliest = index;
    const source = sources[earliest];
    if (source === undefined) return;
    print(source.next);
    const { value, done } = await source.rest.next();
    if (done === true) sources.splice(earliest, 1);
    else source.next = value;
  }
}

async function follow(tails: readonly NodeTail[], print: (told: NodeFlow) => void): Promise<void> {
  const stop = Promise.withResolvers<void>();
  process.once("SIGINT", stop.resolve);
  process.once("SIGTERM", stop.resolve);
  let stopped = false;
  void stop.promise.then(() => {
    stopped = true;
  });
  while (!stopped) {
    await Promise.race([Bun.sleep(pollMs), stop.promise]);
    if (!stopped) await printAll(tails, print);
  }
}
