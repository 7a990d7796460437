import { TwillError } from "../../src/base/errors.ts";
import { levels } from "../../src/base/log.ts";
import { callAgent } from "../../src/rpc/client.ts";
import type { Method, Params, Result } from "../../src/rpc/methods.ts";
import { agentSocket, defaultRunDir } from "../defaults.ts";
import { choice, text, withLetter } from "../flags.ts";
import { command, type Output } from "./command.ts";
import { paint, statusText } from "./status-text.ts";
import { age, formatTable } from "./table.ts";

const where = { runDir: text(defaultRunDir, "where the agent's socket is", "DIR") };
const timeout = 10_000;

function ask<M extends Method>(runDir: string, method: M, params: Params<M>): Result<M> {
  return callAgent(method, params, { path: agentSocket(runDir), timeout });
}

export const status = command({
  name: "status",
  summary: "What is wrong on this node and what to do; every node, as this one's agent measured it",
  help: `
REACHED is measured by this node's agent, over the underlay and through the tunnel; REACHES US is what the other agent says
that it measured. The exit status is 0 when the node is ready and has no problem, 1 otherwise.

  twill status
  twill status -o json | jq .problems`,
  flags: { ...where, output: withLetter("o", choice("text", ["text", "json", "yaml"], "how it is printed")) },
  run: ({ flags }, output) => {
    const report = ask(flags.runDir, "status", {});
    if (flags.output === "text") output.out(statusText(report, Date.now(), paint(output.colour)));
    else print(report, flags.output, output);
    return report.ready && report.problems.every((problem) => problem.severity !== "error") ? 0 : 1;
  },
});

export const logLevel = command({
  name: "log-level",
  usage: "[LEVEL]",
  summary: "Show or change how much this node's agent logs, while it runs",
  words: levels,
  flags: where,
  run: ({ rest, flags }, output) => {
    const wanted = rest[0];
    const level = levels.find((candidate) => candidate === wanted);
    if (wanted !== undefined && level === undefined) {
      throw new TwillError("invalid", `"${wanted}" is no log level`, { remedy: `use ${levels.join(", ")}` });
    }
    output.out(`${ask(flags.runDir, "logLevel", level === undefined ? {} : { level }).level}\n`);
    return 0;
  },
});

/** One kind of thing that `twill get` lists. `rows` is what -o json prints, `cells` what the table shows. */
interface Listing {
  readonly headings: readonly string[];
  /** Further columns of -o wide. */
  readonly wide?: readonly string[];
  read(
    runDir: string,
  ): readonly { readonly name: string; readonly value: unknown; readonly cells: readonly string[] }[];
}

const listings: Readonly<Record<string, Listing>> = {
  nodes: {
    headings: ["NAME", "ADDRESSES", "SUBNETS", "BACKEND", "REACHED"],
    wide: ["ROUND TRIP", "LOSS", "REACHES US"],
    read: (runDir) =>
      ask(runDir, "status", {}).nodes.map((node) => ({
        name: node.name,
        value: node,
        cells: [
          node.name,
          node.addresses.join(","),
          node.subnets.join(",") || "-",
          node.backend,
          node.self ? "self" : node.reachable.state,
          node.reachable.roundTrip === undefined ? "-" : `${node.reachable.roundTrip.toFixed(2)} ms`,
          node.reachable.loss === undefined ? "-" : `${Math.round(node.reachable.loss * 100)}%`,
          node.reverse?.state ?? "-",
        ],
      })),
  },
  subnets: {
    headings: ["SUBNET", "NODE", "VIA"],
    read: (runDir) =>
      ask(runDir, "status", {}).nodes.flatMap((node) =>
        node.subnets.map((subnet) => ({
          name: subnet,
          value: { subnet, node: node.name, addresses: node.addresses },
          cells: [subnet, node.name, node.addresses.join(",")],
        })),
      ),
  },
  endpoints: {
    headings: ["NAMESPACE", "POD", "INTERFACE", "ADDRESSES", "DEVICE", "STATE"],
    wide: ["NETWORK", "CONTAINER", "AGE"],
    read: (runDir) =>
      ask(runDir, "endpoints", {}).map((endpoint) => ({
        name: endpoint.pod,
        value: endpoint,
        cells: [
          endpoint.namespace,
          endpoint.pod,
          endpoint.interface,
          endpoint.addresses.join(","),
          endpoint.hostDevice,
          endpoint.state,
          endpoint.network,
          endpoint.container.slice(0, 13),
          age(Date.now() - endpoint.since),
        ],
      })),
  },
  routes: {
    headings: ["DESTINATION", "VIA", "DEVICE", "TO", "STATE"],
    read: (runDir) =>
      ask(runDir, "routes", {}).map((route) => ({
        name: route.destination,
        value: route,
        cells: [route.destination, route.via, route.device, route.to, route.state],
      })),
  },
};

const kinds = Object.keys(listings);

export const get = command({
  name: "get",
  usage: `${kinds.join("|")} [NAME]`,
  summary: "List nodes, subnets, this node's endpoints, or its routes to other nodes",
  help: `
  twill get nodes
  twill get endpoints -o wide
  twill get routes 10.244.3.0/24 -o yaml`,
  words: kinds,
  flags: { ...where, output: withLetter("o", choice("table", ["table", "wide", "json", "yaml"], "how it is printed")) },
  run: ({ rest, flags }, output) => {
    const [kind, name] = rest;
    const listing = kind === undefined || !Object.hasOwn(listings, kind) ? undefined : listings[kind];
    if (listing === undefined) {
      throw new TwillError("invalid", kind === undefined ? "what should be listed?" : `"${kind}" cannot be listed`, {
        remedy: `twill get ${kinds.join("|")}`,
      });
    }
    const rows = listing.read(flags.runDir).filter((row) => name === undefined || row.name === name);
    if (name !== undefined && rows.length === 0)
      throw new TwillError("not-found", `there is no ${name} among the ${kind}`);
    if (flags.output === "json" || flags.output === "yaml") {
      print(
        rows.map((row) => row.value),
        flags.output,
        output,
      );
      return 0;
    }
    const headings = flags.output === "wide" ? [...listing.headings, ...(listing.wide ?? [])] : listing.headings;
    output.out(
      rows.length === 0
        ? `no ${kind}\n`
        : formatTable(
            headings,
            rows.map((row) => row.cells),
          ),
    );
    return 0;
  },
});

function print(value: unknown, format: "json" | "yaml", output: Output): void {
  const plain: unknown = JSON.parse(JSON.stringify(value));
  output.out(
    format === "json" ? `${JSON.stringify(plain, null, 2)}\n` : `${Bun.YAML.stringify(plain, null, 2).trimEnd()}\n`,
  );
}
