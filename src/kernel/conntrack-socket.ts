import type { Connection, ConnectionTuple } from "../objects/conntrack.ts";
import {
  decodeConnection,
  deleteConnection,
  dumpConnections,
  getConnection,
  setConnectionLabels,
} from "../wire/conntrack/connection.ts";
import { type NetlinkRequest, NLM_F_ACK } from "../wire/netlink/message.ts";
import type { ConnectionFilter, Conntrack, ConntrackCounters, LabelChange, LabelOutcome } from "./conntrack.ts";
import { ENOENT, ENOSPC } from "./errno.ts";
import { acknowledgementError, NETLINK_NETFILTER, type NetlinkResult, NetlinkSocket } from "./netlink-socket.ts";

/** Changes in one send: each is acknowledged, and acknowledgements must fit into the receive buffer. */
const changesPerSend = 128;

/**
 * Connection tracking of the calling thread's namespace, or of the one that `netns` (descriptor) shows; the socket stays
 * there. Needs CAP_NET_ADMIN in the namespace's user namespace. @throws TwillError.
 */
export function openConntrack(options: { readonly netns?: number } = {}): Conntrack {
  return new ConntrackSocket(NetlinkSocket.open(NETLINK_NETFILTER, { ...options, name: "conntrack" }));
}

class ConntrackSocket implements Conntrack {
  readonly #socket: NetlinkSocket;
  #dumps = 0;
  #deleted = 0;
  #labelled = 0;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  get counters(): ConntrackCounters {
    return { dumps: this.#dumps, deleted: this.#deleted, labelled: this.#labelled };
  }

  /** A connection that comes or goes during the dump may be missed; one that stays is reported (the kernel walks its hash). */
  connections(filter: ConnectionFilter = {}): Connection[] {
    this.#dumps++;
    const unique = new Map<string, Connection>();
    for (const payload of this.#socket.dump(dumpConnections(filter.family, filter.mark))) {
      const connection = decodeConnection(payload);
      // A hash that is resized while it is walked shows entries twice.
      unique.set(`${connection.id} ${JSON.stringify(connection.original)} ${connection.zone}`, connection);
    }
    return [...unique.values()];
  }

  connection(original: ConnectionTuple, zone?: number): Connection | undefined {
    const [result] = this.#request([getConnection(original, zone)]);
    if (result?.error?.errno === ENOENT) return undefined;
    throwUnlessDone(result, "read connection", original);
    const payload = result?.replies[0]?.payload;
    return payload === undefined ? undefined : decodeConnection(payload);
  }

  delete(connection: Pick<Connection, "original" | "zone" | "id">): boolean {
    return this.#delete([connection]) === 1;
  }

  deleteWhere(matches: (connection: Connection) => boolean, filter?: ConnectionFilter): number {
    const found = this.connections(filter).filter(matches);
    let deleted = 0;
    for (let at = 0; at < found.length; at += changesPerSend) {
      deleted += this.#delete(found.slice(at, at + changesPerSend));
    }
    return deleted;
  }

  #delete(connections: readonly Pick<Connection, "original" | "zone" | "id">[]): number {
    const results = this.#request(connections.map(({ original, zone, id }) => deleteConnection(original, zone, id)));
    let deleted = 0;
    for (const [at, result] of results.entries()) {
      if (result.error?.errno === ENOENT) continue;
      throwUnlessDone(result, "delete connection", connections[at]?.original);
      deleted++;
    }
    this.#deleted += deleted;
    return deleted;
  }

  setLabels(changes: readonly LabelChange[]): LabelOutcome[] {
    const outcomes: LabelOutcome[] = [];
    for (let at = 0; at < changes.length; at += changesPerSend) {
      const some = changes.slice(at, at + changesPerSend);
      const requests = some.map(({ connection: { original, zone }, value, mask }) =>
        setConnectionLabels(original, zone, value, mask),
      );
      for (const [index, result] of this.#request(requests).entries()) {
        const outcome = labelOutcomes[result.error?.errno ?? 0];
        if (outcome === undefined) throwUnlessDone(result, "label connection", some[index]?.connection.original);
        else outcomes.push(outcome);
      }
    }
    this.#labelled += outcomes.filter((outcome) => outcome === "set").length;
    return outcomes;
  }

  #request(requests: readonly NetlinkRequest[]): NetlinkResult[] {
    return this.#socket.request(requests.map((request) => ({ ...request, flags: request.flags | NLM_F_ACK })));
  }

  close(): void {
    this.#socket.close();
  }
}

const labelOutcomes: Readonly<Record<number, LabelOutcome>> = { 0: "set", [ENOENT]: "gone", [ENOSPC]: "no-room" };

function throwUnlessDone(
  result: NetlinkResult | undefined,
  operation: string,
  tuple: ConnectionTuple | undefined,
): void {
  if (result?.error === undefined) return;
  const object = tuple === undefined ? "" : `${tuple.source} → ${tuple.destination} protocol ${tuple.protocol}`;
  throw acknowledgementError(result.error, { operation, object });
}
