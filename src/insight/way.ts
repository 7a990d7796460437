import { describeError } from "../base/errors.ts";
import type { Asker } from "./asker.ts";
import { nodeAt, nodeOfPod } from "./asker.ts";
import type { Entry, Exit, Hop } from "./leg.ts";
import type { ProbePacket } from "./probe-packet.ts";

/** A packet's way over all nodes, as their kernels would have it. */
export interface Way {
  readonly hops: readonly Hop[];
  readonly end: Exit | { readonly to: "outside" };
  /** The node where it ends, or whose wire it leaves by. */
  readonly node: string;
  readonly masqueraded?: string;
  /** UDP ports of the tunnels on the way. */
  readonly tunnels: readonly number[];
}

/** More nodes than source, destination and a gateway is a circle. */
const maximumLegs = 4;

export async function findWay(asker: Asker, node: string, entry: Entry, packet: ProbePacket): Promise<Way> {
  const hops: Hop[] = [];
  const tunnels: number[] = [];
  let masqueraded: string | undefined;
  let [here, from, current] = [node, entry, packet];
  const way = (end: Way["end"]): Way => ({
    hops,
    end,
    node: here,
    tunnels,
    ...(masqueraded === undefined ? {} : { masqueraded }),
  });
  for (let legs = 0; legs < maximumLegs; legs++) {
    try {
      const leg = await asker.ask(here, "walk", { entry: from, packet: current });
      hops.push(...leg.hops);
      if (leg.exit.to !== "wire") return way(leg.exit);
      const { nextHop, encapsulation, packet: leaving } = leg.exit;
      masqueraded = leg.exit.masqueraded;
      if (encapsulation !== undefined) tunnels.push(encapsulation.port);
      const next =
        encapsulation === undefined
          ? (nodeAt(asker, nextHop) ?? nodeAt(asker, leaving.destination) ?? nodeOfPod(asker, leaving.destination))
          : nodeAt(asker, encapsulation.remote);
      if (next === undefined || next.name === here) {
        if (encapsulation === undefined) return way({ to: "outside" });
        hops.push({
          node: here,
          place: "the wire",
          text: `no node of the cluster has the address ${encapsulation.remote}`,
          verdict: "stops",
          remedy: "the entry is out of date: look at twill status",
        });
        return way({ to: "nowhere" });
      }
      if (
        encapsulation === undefined &&
        nodeAt(asker, nextHop) === undefined &&
        nodeAt(asker, leaving.destination) === undefined
      ) {
        // Right with routes that somebody else spreads (a cloud's route table), and wrong without.
        hops.push({
          node: here,
          place: "the wire",
          text: `${nextHop} is no node: it must itself know the way to ${leaving.destination}`,
          verdict: "unsure",
        });
      }
      here = next.name;
      from = { from: "wire", ...(encapsulation === undefined ? {} : { encapsulation }) };
      current = leaving;
    } catch (error) {
      hops.push({ node: here, place: "agent", text: `it cannot be asked: ${describeError(error)}`, verdict: "unsure" });
      return way({ to: "nowhere" });
    }
  }
  hops.push({
    node: here,
    place: "routing",
    text: "the nodes send it in a circle",
    verdict: "stops",
    remedy: "compare the routes of these nodes",
  });
  return way({ to: "nowhere" });
}

/** The hop that stops it, if one does. */
export const stopOf = (way: Way): Hop | undefined => way.hops.find(({ verdict }) => verdict === "stops");
