import type { Rtnl } from "../../src/kernel/rtnl.ts";
import { allNetworks } from "../../src/model/ranges.ts";
import type { AgentStatus, NodeStatus, RouteStatus } from "../../src/model/status.ts";
import { mainTable, TWILL_ROUTE_PROTOCOL } from "../../src/objects/route.ts";
import type { PeerProber } from "../../src/rpc/peer/prober.ts";
import { version } from "../version.ts";
import type { Agent } from "./agent.ts";
import type { AgentOptions } from "./options.ts";
import type { Pods } from "./pods.ts";

export interface StatusSources {
  readonly options: AgentOptions;
  readonly agent: Agent;
  readonly pods: Pods;
  readonly prober: () => PeerProber | undefined;
  readonly startedAt: number;
  readonly now: () => number;
}

/** What this agent knows and measured, from the parts that know it. */
export function statusOf(sources: StatusSources): AgentStatus {
  const { options, agent, pods, now, startedAt } = sources;
  const { source, network, change, state, underlay, storeHealth, dataplane } = agent;
  return {
    node: options.nodeName,
    version,
    uptime: Math.round((now() - startedAt) / 1000),
    ready: agent.waitingFor.length === 0,
    waitingFor: agent.waitingFor,
    network:
      network === undefined
        ? undefined
        : {
            ranges: allNetworks(network),
            backend: network.backend.type,
            source: source.name,
            ...(source.rejected === undefined ? {} : { rejected: source.rejected.describe() }),
          },
    ...(change === undefined ? {} : { change }),
    underlay:
      underlay === undefined
        ? undefined
        : {
            device: underlay.device,
            mtu: underlay.mtu,
            addresses: [underlay.ipv4, underlay.ipv6].filter((address) => address !== undefined),
          },
    subnets: state?.own.subnets ?? [],
    subnetSource: agent.subnetSource,
    ...conditionOf(agent),
    podMtu: state?.own.podMtu,
    addresses: pods.counts(),
    datastore: {
      url: options.datastore,
      reachable: storeHealth.reachable,
      since: storeHealth.awaySince,
      ...(storeHealth.reason === undefined ? {} : { reason: storeHealth.reason }),
    },
    ...policyOf(sources),
    nodes: nodesOf(sources),
    problems: agent.problems,
    kernel: { writes: dataplane.writes, lastSync: dataplane.lastSync },
  };
}

function conditionOf({ kubernetes }: Agent): Pick<AgentStatus, "condition"> {
  if (kubernetes === undefined) return {};
  const { status = "Unknown", reason = "NotSet", message = "" } = kubernetes.nodes.own?.unavailable ?? {};
  return { condition: { status, reason, message } };
}

function policyOf({ options, agent: { policy } }: StatusSources): Pick<AgentStatus, "policy"> {
  if (policy === undefined) return {};
  const all = [...policy.model.policies.values()];
  const rows = [...(policy.state?.addresses.values() ?? [])];
  return {
    policy: {
      networkPolicies: all.filter(({ id }) => id.kind === "NetworkPolicy").length,
      clusterNetworkPolicies: all.filter(({ id }) => id.kind === "ClusterNetworkPolicy").length,
      broken: all.filter(({ broken }) => broken !== undefined).length,
      judged: {
        ingress: rows.filter(({ ingress }) => ingress !== 0).length,
        egress: rows.filter(({ egress }) => egress !== 0).length,
      },
      unknownPods: policy.unknown,
      established: options.policyEstablished,
      denied: options.policyDenied,
      unknown: options.policyUnknown,
    },
  };
}

function nodesOf({ options, agent, prober }: StatusSources): NodeStatus[] {
  const measured = prober();
  const unrouted = withoutRoute(agent);
  return [...agent.leases.values()].map((lease) => {
    const self = lease.node === options.nodeName;
    const reverse = measured?.reverse(lease.node);
    const reachable = measured?.reachability(lease.node) ?? { state: "unknown" };
    return {
      name: lease.node,
      self,
      addresses: lease.addresses,
      subnets: lease.subnets,
      backend: lease.backendType,
      reachable: self
        ? { state: "yes" }
        : unrouted.has(lease.node)
          ? { ...reachable, state: "no", failing: "route" }
          : reachable,
      ...(reverse === undefined ? {} : { reverse }),
    };
  });
}

/** Nodes whose agents may well answer, while this node has no way to their pods. Backends without routes of their own have none to miss. */
function withoutRoute({ state, leases }: Agent): ReadonlySet<string> {
  if (state === undefined) return new Set();
  const peers = [...state.peers.values()];
  const routeless = peers.every(({ routes, problems }) => routes.length === 0 && problems.length === 0);
  if (routeless && state.own.problems.length === 0) return new Set();
  const others = [...leases.keys()].filter((name) => name !== state.own.node);
  return new Set(others.filter((name) => (state.peers.get(name)?.routes ?? []).length === 0));
}

/** Routes to other nodes: what is wanted beside what the kernel holds. */
export function routesOf(agent: Agent, rtnl: Rtnl): RouteStatus[] {
  const links = new Map(rtnl.links().map((link) => [link.index, link.name]));
  const held = new Map(
    rtnl.routes({ protocol: TWILL_ROUTE_PROTOCOL, table: mainTable }).map((route) => [route.destination, route]),
  );
  const wanted = [...(agent.state?.peers ?? [])].flatMap(([to, { routes }]) => routes.map((route) => ({ to, route })));
  const rows = wanted.map(({ to, route: wanted }): RouteStatus => {
    const route = held.get(wanted.destination);
    held.delete(wanted.destination);
    const right =
      route?.gateway === wanted.gateway && route.device !== undefined && links.get(route.device) === wanted.device;
    return {
      destination: wanted.destination,
      via: wanted.gateway,
      device: wanted.device,
      to,
      state: right ? "installed" : route === undefined ? "missing" : "unexpected",
    };
  });
  const strangers = [...held.values()].map(
    (route): RouteStatus => ({
      destination: route.destination,
      via: route.gateway ?? "-",
      device: links.get(route.device ?? 0) ?? "-",
      to: "-",
      state: "unexpected",
    }),
  );
  return [...rows, ...strangers];
}
