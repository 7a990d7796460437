import { addressAt, covers, isEverything, type Prefix, prefixFamily, sizeOf } from "../../base/prefix.ts";
import {
  localTable,
  mainTable,
  type Route,
  TWILL_POD_ROUTE_PROTOCOL,
  TWILL_ROUTE_PROTOCOL,
} from "../../objects/route.ts";
import type { NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { linkNamed, nameOf } from "../kernel-view.ts";
import { podId } from "../node-view.ts";
import { describeRoute, lookupRoute } from "../route-lookup.ts";
import { agentHeals } from "./devices.ts";

/** Routes to the other nodes' pods: there, and not hidden by others. */
export function checkRoutes(facts: NodeFacts): Finding[] {
  const { node, view, routes } = facts;
  const { kernel } = view;
  return routes.flatMap((wanted): Finding[] => {
    const device = linkNamed(kernel, wanted.device);
    if (device === undefined || !device.up) return []; // that is the tunnel's, or the underlay's finding
    const head = {
      id: "route",
      severity: "error",
      node,
      peers: [wanted.peer],
      subject: wanted.destination,
    } as const;
    const is = (route: Route): boolean => route.gateway === wanted.gateway && route.device === device.index;
    const way = `${wanted.destination} via ${wanted.gateway} dev ${wanted.device}`;
    const there = kernel.routes.filter(
      ({ destination, table }) => destination === wanted.destination && table === mainTable,
    );
    const hiding = hides(facts, wanted.destination, is);
    if (hiding !== undefined) {
      return [
        {
          ...head,
          title: `packets to pods of ${wanted.peer} are sent elsewhere`,
          explanation: "another route or routing rule is taken instead of Twill's",
          evidence: [`wanted: ${way}`, `taken: ${hiding}`],
          remedy: "take that route or rule away: ip route, ip rule",
        },
      ];
    }
    if (there.some(is)) return [];
    return [
      {
        ...head,
        title: `the route to pods of ${wanted.peer} is ${there.length === 0 ? "missing" : "wrong"}`,
        explanation: "packets to these pods take the default route, or none, or one that leads elsewhere",
        evidence: [
          `wanted: ${way}`,
          `there: ${there.map((route) => describeRoute(kernel, route)).join("; ") || "none"}`,
        ],
        remedy: agentHeals,
        fixable: true,
      },
    ];
  });
}

/** Backends that lead packets by routes. */
const routedBackends: ReadonlySet<string> = new Set(["vxlan", "host-gw"]);

/** Nodes to whose pods the agent itself knows no way. */
export function checkUnrouted({ node, agent, routes }: NodeFacts): Finding[] {
  const { state, leases } = agent;
  if (state === undefined) return [];
  return [...leases].flatMap(([peer, { subnets, addresses, backendType }]): Finding[] => {
    const missing = subnets.filter((subnet) => !routes.some(({ destination }) => destination === subnet));
    if (peer === node || missing.length === 0 || !routedBackends.has(backendType)) return [];
    const why = state.peers.get(peer)?.problems ?? [];
    return [
      {
        id: "route",
        severity: "error",
        node,
        peers: [peer],
        subject: missing.join(" "),
        title: `the agent has no way to pods of ${peer}`,
        explanation: "packets to these pods take the default route, or none",
        evidence: [
          `lease of ${peer}: ${missing.join(", ")} at ${addresses.join(", ")}, ${backendType}`,
          ...why.map(({ message }) => message),
        ],
        remedy: why[0]?.remedy ?? "look at the agent's log; restart it",
      },
    ];
  });
}

/** What somebody else's route or rule takes of a destination, in words. */
function hides(
  { view: { kernel } }: NodeFacts,
  destination: Prefix,
  isWanted: (route: Route) => boolean,
): string | undefined {
  const foreign = kernel.routes.filter(
    (route) =>
      covers(destination, route.destination) &&
      route.table !== localTable &&
      route.type !== "local" &&
      ![TWILL_ROUTE_PROTOCOL, TWILL_POD_ROUTE_PROTOCOL].includes(route.protocol),
  );
  const samples = [destination, ...foreign.map((route) => route.destination)];
  for (const sample of samples) {
    const address = addressAt(sample, sizeOf(sample) > 2n ? 2n : 0n);
    const decision = lookupRoute(kernel, { destination: address });
    const ruled =
      decision.rule !== undefined && decision.rule.table !== mainTable && decision.rule.table !== localTable;
    if (decision.found === undefined) {
      if (decision.route !== undefined || decision.rule !== undefined) return `${address}: ${decision.reason}`;
      continue;
    }
    const { found } = decision;
    if (isWanted(found) || found.protocol === TWILL_ROUTE_PROTOCOL || isEverything(found.destination)) {
      if (!ruled) continue;
    }
    if (found.type === "local" && found.destination !== sample) continue;
    const foreignHere = foreign.includes(found) || ruled;
    if (foreignHere) {
      const rule = ruled ? ` (rule ${decision.rule.priority}, table ${decision.rule.table})` : "";
      return `${describeRoute(kernel, found)}${rule}`;
    }
  }
  return undefined;
}

/** Where the tunnel ends of the other nodes are: neighbour and forwarding entries. */
export function checkTunnelEntries({ node, view, tunnels, neighbours, forwarding }: NodeFacts): Finding[] {
  const { kernel } = view;
  // Without the device nothing can be there, and a new Ethernet address took the neighbours away: one finding is enough.
  const sound = new Map(
    tunnels.flatMap(({ name, mac }) => {
      const link = linkNamed(kernel, name);
      return link?.up === true && link.mac === mac ? [[name, link.index] as const] : [];
    }),
  );
  const head = { severity: "error", node, remedy: agentHeals, fixable: true } as const;
  const lost = (peer: string) => `packets to pods of ${peer} do not find that node's end of the tunnel`;
  const missing = neighbours.flatMap(({ peer, device, address, mac }): Finding[] => {
    const index = sound.get(device);
    const found = kernel.neighbours.find((entry) => entry.device === index && entry.address === address);
    if (index === undefined || found?.mac === mac) return [];
    return [
      {
        ...head,
        id: "neighbour",
        peers: [peer],
        subject: `${device} ${address}`,
        title: `the neighbour entry of ${peer} on ${device} is ${found?.mac === undefined ? "missing" : "wrong"}`,
        explanation: lost(peer),
        evidence: [`wanted: ${address} lladdr ${mac}`, `there: ${found?.mac ?? "none"}`],
      },
    ];
  });
  const misled = forwarding.flatMap(({ peer, device, mac, remote }): Finding[] => {
    const index = sound.get(device);
    if (index === undefined) return [];
    const found = kernel.fdb.filter(
      (entry) => entry.device === index && entry.mac === mac && entry.remote !== undefined,
    );
    if (found.length === 1 && found[0]?.remote === remote) return [];
    return [
      {
        ...head,
        id: "fdb",
        peers: [peer],
        subject: `${device} ${mac}`,
        title: `the forwarding entry (FDB) of ${peer} on ${device} is ${found.length === 0 ? "missing" : "wrong"}`,
        explanation: lost(peer),
        evidence: [`wanted: ${mac} dst ${remote}`, `there: ${found.map((entry) => entry.remote).join(", ") || "none"}`],
      },
    ];
  });
  return [...missing, ...misled];
}

/** The ways to this node's own pods, and addresses that two have. */
export function checkPodRoutes({ node, view }: NodeFacts): Finding[] {
  const { kernel } = view;
  return view.pods.flatMap((pod) =>
    pod.addresses.flatMap((address): Finding[] => {
      const host = linkNamed(kernel, pod.hostDevice ?? "");
      if (host === undefined || !host.up) return [];
      const decision = lookupRoute(kernel, { destination: address });
      const { found } = decision;
      if (
        found?.device === host.index ||
        (host.master !== undefined && found?.device === host.master && found.type !== "local")
      )
        return [];
      if (found?.type === "local") {
        const owner = kernel.addresses.find((one) => one.address === address);
        return [
          {
            id: "address-conflict",
            severity: "error",
            node,
            subject: address,
            title: `the node itself has ${address}, the address of pod ${podId(pod)}`,
            explanation: "the node takes the packets to this pod for its own",
            evidence: [`${nameOf(kernel, owner?.device)} has ${address}`],
            remedy: `ip address del ${address}/${owner?.length ?? (prefixFamily(found.destination) === 4 ? 32 : 128)} dev ${nameOf(kernel, owner?.device)}`,
          },
        ];
      }
      return [
        {
          id: "route",
          severity: "error",
          node,
          subject: address,
          title: `the way to pod ${podId(pod)} is ${found === undefined || isEverything(found.destination) ? "missing" : "wrong"}`,
          explanation: "packets to this pod go elsewhere",
          evidence: [
            `wanted: ${address} dev ${pod.hostDevice}`,
            `taken: ${found === undefined ? decision.reason : describeRoute(kernel, found)}`,
          ],
          remedy: "a running agent puts the route back; a route or rule of somebody else must be taken away by hand",
        },
      ];
    }),
  );
}
