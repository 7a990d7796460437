import { ask } from "./agent-commands.ts";
import { age } from "./table.ts";

/** One kind of thing that `twill get` lists. `rows` is what -o json prints, `cells` what the table shows. */
export interface Listing {
  readonly headings: readonly string[];
  /** Further columns of -o wide. */
  readonly wide?: readonly string[];
  read(
    runDir: string,
  ): readonly { readonly name: string; readonly value: unknown; readonly cells: readonly string[] }[];
}

/** What this node's agent knows. */
export const agentListings: Readonly<Record<string, Listing>> = {
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
