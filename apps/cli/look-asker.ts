import { type Address, familyOf, tryAddress } from "../../src/base/address.ts";
import { TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { nodeOfPod } from "../../src/insight/asker.ts";
import { type PodPlace, podId } from "../../src/insight/node-view.ts";
import type { Answer } from "../../src/insight/questions.ts";
import { callAgent } from "../../src/rpc/client.ts";
import { agentSocket } from "../defaults.ts";

/** A watch's packets come in one answer. */
const maximumAnswer = 32 << 20;
/** Longer than the agents wait for each other. */
const timeout = { examine: 200_000, other: 40_000 };

/** Asks this node's agent, and the others through it. @throws TwillError `unavailable` when it does not answer. */
export function agentAsker(runDir: string): Asker {
  const path = agentSocket(runDir);
  const { node, nodes } = callAgent("status", {}, { path, timeout: 10_000, maximumMessage: maximumAnswer });
  return {
    node,
    reaches: true,
    nodes: nodes.map(({ name, addresses, subnets }) => ({ name, addresses, subnets })),
    ask: async (asked, question, params) =>
      callAgent(
        "look",
        { question, params, ...(asked === node ? {} : { node: asked }) },
        { path, timeout: question === "examine" ? timeout.examine : timeout.other, maximumMessage: maximumAnswer },
      ) as Answer<typeof question>,
  };
}

export interface FoundPod {
  readonly node: string;
  readonly place: PodPlace;
}

/** The pod of that name or address on this node. @throws TwillError `not-found`, telling where it is instead; `invalid` for several. */
export async function findOwnPod(asker: Asker, text: string): Promise<PodPlace> {
  const own = await asker.ask(asker.node, "find", { pod: text });
  const only = oneOf(text, own);
  if (only !== undefined) return only;
  const elsewhere = await findElsewhere(asker, text);
  throw new TwillError("not-found", `pod ${text} is not on this node`, {
    remedy:
      elsewhere === undefined
        ? "twill get endpoints lists this node's pods"
        : `it is on ${elsewhere.node}: run this there (a node may ask others about traffic of its own pods only)`,
  });
}

/** A pod of any node, by name or address; undefined when there is none. */
export async function findPod(asker: Asker, text: string): Promise<FoundPod | undefined> {
  const own = oneOf(text, await asker.ask(asker.node, "find", { pod: text }));
  return own === undefined ? findElsewhere(asker, text) : { node: asker.node, place: own };
}

async function findElsewhere(asker: Asker, text: string): Promise<FoundPod | undefined> {
  const address = tryAddress(text);
  const owner = address === undefined ? undefined : nodeOfPod(asker, address);
  const nodes = owner === undefined ? asker.nodes : [owner];
  for (const { name } of nodes) {
    if (name === asker.node || (address !== undefined && owner === undefined)) continue;
    try {
      const place = oneOf(text, await asker.ask(name, "find", { pod: text }));
      if (place !== undefined) return { node: name, place };
    } catch (error) {
      // A node that is away has it, perhaps; the others are asked all the same.
      if (!(error instanceof TwillError)) throw error;
    }
  }
  return undefined;
}

/** A pod with several interfaces is found once for each: the first is the cluster network's. */
function oneOf(text: string, places: readonly PodPlace[]): PodPlace | undefined {
  const ids = [...new Set(places.map(podId))];
  if (ids.length > 1) {
    throw new TwillError("invalid", `several pods are called ${text}`, {
      remedy: `say which: ${ids.slice(0, 4).join(", ")}`,
    });
  }
  return places[0];
}

/** An address of each, of one family: IPv4 where both have it. */
export function commonAddress(from: PodPlace, to: PodPlace): Address {
  const shared = to.addresses.find((address) => from.addresses.some((own) => familyOf(own) === familyOf(address)));
  if (shared !== undefined) return shared;
  throw new TwillError("invalid", `${podId(from)} and ${podId(to)} have no address of one family`, {
    remedy: "twill get endpoints shows their addresses",
  });
}
