import type { Address } from "../../base/address.ts";
import type { Flow as PacketFlow } from "../../compile/policy/flow.ts";
import type { Flow, FlowEnd } from "../../model/flow.ts";
import { type EndpointName, type PolicyModel, protocols } from "../../model/policy.ts";

/**
 * Ends of seen flows, as the cluster is now. Nodes that follow no policy do not know other nodes' pods, and tell their addresses: these are taken
 * for those of the pods that have them now.
 */
export class FlowEnds {
  readonly #pods: ReadonlyMap<Address, EndpointName>;
  readonly #nodes: ReadonlyMap<Address, string>;

  constructor({ endpoints, nodes }: PolicyModel) {
    this.#pods = new Map(
      [...endpoints].flatMap(([name, { addresses }]) => addresses.map((one) => [one, name] as const)),
    );
    this.#nodes = new Map(
      [...nodes.values()].flatMap(({ name, addresses }) => addresses.map((one) => [one, name] as const)),
    );
  }

  /** Undefined: it is none, or the one that was seen has gone. */
  pod(end: FlowEnd): EndpointName | undefined {
    if (end.kind === "many" || end.kind === "node") return undefined;
    const now = this.#pods.get(end.address);
    return end.kind === "address" || now === `${end.namespace}/${end.name}` ? now : undefined;
  }

  node(end: FlowEnd): string | undefined {
    if (end.kind === "node") return end.name;
    return end.kind === "address" && this.pod(end) === undefined ? this.#nodes.get(end.address) : undefined;
  }

  /** Whether what was seen of it still says something. */
  isThere(end: FlowEnd): boolean {
    return end.kind === "pod" ? this.pod(end) !== undefined : end.kind !== "many";
  }

  /** "shop/web-0", "node1", "1.2.3.4". */
  name(end: FlowEnd): string {
    if (end.kind === "many") return "many";
    return this.pod(end) ?? this.node(end) ?? end.address;
  }
}

/** Undefined: its ends or ports were too many to be told apart. */
export function packetOf({ source, destination, protocol, port, ports, icmp }: Flow): PacketFlow | undefined {
  if (source.kind === "many" || destination.kind === "many" || ports !== undefined) return undefined;
  const isIcmp = protocol === protocols.icmp || protocol === protocols.icmpv6;
  return {
    source: source.address,
    destination: destination.address,
    protocol,
    port: isIcmp && icmp !== undefined ? icmp.type * 256 + icmp.code : (port ?? 0),
  };
}
