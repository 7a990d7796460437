import { emptyPeerPlan, type PeerPlan } from "../backend/backend.ts";
import { familyOf } from "../base/address.ts";
import type { Mac } from "../base/mac.ts";
import { baseOf, type Prefix, prefixFamily } from "../base/prefix.ts";
import type { Problem } from "../base/problem.ts";
import type { ClusterNetwork, Lease } from "../model/network.ts";
import type { PeerContact, PeerForwarding, PeerState } from "../model/node-state.ts";
import { rangeOf, rangesOf } from "../model/ranges.ts";
import type { Claim } from "./claims.ts";
import type { CompileInput } from "./own-state.ts";

/** A lease as far as it can be judged by itself. */
export interface Admission {
  readonly node: string;
  /** The subnets that it may claim. */
  readonly subnets: readonly Prefix[];
  /** Where its agent answers, if the lease is believed at all. */
  readonly contact?: Pick<PeerContact, "port" | "underlay">;
  readonly problems: readonly Problem[];
}

/** Checks what a peer says against this node's configuration and addresses. */
export function admit({ network, local }: CompileInput, name: string, lease: Lease): Admission {
  const refuse = (message: string, remedy: string): Admission => {
    return { node: name, subnets: [], problems: [{ severity: "error", subject: name, message, remedy }] };
  };
  if (lease.node !== name) {
    return refuse(
      `the datastore's node ${name} calls itself ${lease.node}; it is left out`,
      `delete it: twill delete node ${name}; the node's agent writes it anew`,
    );
  }
  const { ipv4, ipv6 } = local.underlay;
  const stolen = lease.addresses.find((address) => address === ipv4 || address === ipv6);
  if (stolen !== undefined) {
    return refuse(
      `node ${name} claims this node's own address ${stolen}; it is left out`,
      `delete ${name}'s lease if this machine was called so before, else give the machines different addresses`,
    );
  }
  const outside = lease.subnets.map((subnet) => outsideNetwork(network, name, subnet));
  const subnets = lease.subnets.filter((_, index) => outside[index] === undefined);
  const { peerPort: port, addresses } = lease;
  const [underlay] = addresses;
  return {
    node: name,
    subnets,
    ...(underlay === undefined || port === undefined ? {} : { contact: { port, underlay } }),
    problems: outside.filter((problem) => problem !== undefined),
  };
}

function outsideNetwork(network: ClusterNetwork, node: string, subnet: Prefix): Problem | undefined {
  if (rangeOf(network, subnet) !== undefined) return undefined;
  const family = prefixFamily(subnet);
  const ranges = rangesOf(network, family).map((range) => range.network);
  return {
    severity: "error",
    subject: node,
    message:
      ranges.length === 0
        ? `node ${node} claims ${subnet}, but this node's configuration has no IPv${family} network`
        : `node ${node} claims ${subnet}, which is outside the cluster's network ${ranges.join(" and ")}`,
    remedy: `give all nodes the same net-conf.json; if ${node}'s is right, this node follows once its agent has read it`,
  };
}

export function otherBackend({ network }: CompileInput, { node, backendType }: Lease): PeerPlan {
  const problem: Problem = {
    severity: "error",
    subject: node,
    message: `node ${node} uses the backend "${backendType}", this node "${network.backend.type}": they cannot reach each other's pods`,
    remedy: `give all nodes the same Backend.Type; ${node} follows once its agent has read the configuration`,
  };
  return { ...emptyPeerPlan, problems: [problem] };
}

/** What leads frames to one node only: an Ethernet address on a tunnel device. A key of Claims. */
export const tunnelEnd = ({ device, mac }: Pick<PeerForwarding, "device" | "mac">): string => `${device} ${mac}`;

export interface PeerParts {
  readonly admission: Admission;
  readonly subnets: readonly Claim<Prefix>[];
  readonly plan: PeerPlan;
  readonly ends: readonly Claim<string>[];
  /** This node has tunnel devices. */
  readonly hasTunnel: boolean;
}

/** The peer's part of the state: what its plan asks for, less what another node has. */
export function peerState({ admission, subnets, plan, ends, hasTunnel }: PeerParts): PeerState {
  const { node } = admission;
  const twins = plan.forwarding.flatMap((entry) => {
    const owner = ends.find(({ thing }) => thing === tunnelEnd(entry))?.lostTo?.node;
    return owner === undefined ? [] : [{ ...entry, owner }];
  });
  // All that a peer has on a device stands on its tunnel end there.
  const stands = ({ device }: { readonly device: string }) => !twins.some((twin) => twin.device === device);
  const kept = <T extends { readonly device: string }>(entries: readonly T[]) =>
    twins.length === 0 ? entries : entries.filter(stands);
  const problems = [
    ...admission.problems,
    ...subnets.flatMap(({ thing, lostTo }) => (lostTo === undefined ? [] : [lost(node, thing, lostTo)])),
    ...plan.problems,
    ...twins.map(({ device, mac, owner }) => twin(node, device, mac, owner)),
  ];
  const contact = hasTunnel ? throughTunnel(admission.contact, subnets) : admission.contact;
  return {
    routes: kept(plan.routes),
    neighbours: kept(plan.neighbours),
    forwarding: kept(plan.forwarding),
    ...(plan.commands === undefined ? {} : { commands: plan.commands }),
    ...(contact === undefined ? {} : { contact }),
    problems: problems.length === 0 ? none : problems,
  };
}

/** One for all peers without problems. */
const none: readonly Problem[] = [];

const twin = (node: string, device: string, mac: Mac, owner: string): Problem => ({
  severity: "error",
  subject: node,
  message: `node ${node} has the same tunnel address ${mac} as node ${owner}; ${owner} keeps it`,
  remedy: `delete ${device} on ${node} (a cloned machine?); its agent makes a new one`,
});

const lost = (node: string, subnet: Prefix, holder: Claim<Prefix>): Problem => ({
  severity: "error",
  subject: node,
  message: `nodes ${holder.node} and ${node} claim the same addresses, ${holder.thing} and ${subnet}; ${holder.node} keeps them`,
  remedy: `delete the lease of ${node}; its agent claims a free subnet, and its pods must be made anew`,
});

/** The overlay is measured to the tunnel device's address, the first of the peer's subnet. */
function throughTunnel(contact: Admission["contact"], subnets: readonly Claim<Prefix>[]): PeerContact | undefined {
  if (contact === undefined) return undefined;
  const family = familyOf(contact.underlay);
  const own = subnets.find(({ thing, lostTo }) => lostTo === undefined && prefixFamily(thing) === family);
  return own === undefined ? contact : { ...contact, overlay: baseOf(own.thing) };
}
