import type { Address } from "../../src/base/address.ts";
import type { Clock } from "../../src/base/clock.ts";
import { describeError, isCode, TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import { contains, type Prefix } from "../../src/base/prefix.ts";
import type { Random } from "../../src/base/random.ts";
import type { Asker } from "../../src/insight/asker.ts";
import type { AgentKnowledge } from "../../src/insight/facts.ts";
import { Looker } from "../../src/insight/looker.ts";
import { type Answer, type Question, readAsked } from "../../src/insight/questions.ts";
import { SUBNETS } from "../../src/ipam/subnet-claim.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import type { Rtnl } from "../../src/kernel/rtnl.ts";
import { kernelSysctls } from "../../src/kernel/sysctl.ts";
import type { Lease } from "../../src/model/network.ts";
import { allNetworks } from "../../src/model/ranges.ts";
import type { LookCall } from "../../src/rpc/methods.ts";
import { askPeer, serveChannel } from "../../src/rpc/peer/channel.ts";
import { decodeKey } from "../../src/rpc/peer/key.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { CONFIG, NODES, PEER_KEY, SECRETS } from "../kinds.ts";
import { pluginVersion } from "../plugin-version.ts";
import { version } from "../version.ts";
import type { Agent } from "./agent.ts";
import type { NodeFlows } from "./flows/node-flows.ts";
import type { LogTail } from "./log-tail.ts";
import type { NodeMemory } from "./node-file.ts";
import type { AgentOptions } from "./options.ts";
import type { Pods } from "./pods.ts";
import type { NodePolicy } from "./policy/node-policy.ts";
import { PolicyQuestions } from "./policy-questions.ts";

/** Wires it to the agent's parts. */
export function lookService(
  options: AgentOptions,
  parts: {
    readonly agent: Agent;
    readonly memory: NodeMemory;
    readonly pods: Pods;
    readonly rtnl: Rtnl;
    readonly store: Datastore;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
    readonly tail: LogTail;
    readonly status: () => unknown;
    /** Absent: flows are not told. */
    readonly flows?: NodeFlows;
    /** Absent: policy is off. */
    readonly policy?: NodePolicy;
  },
): LookService {
  const { agent, memory, pods, rtnl, store, clock, random, log, flows, policy } = parts;
  const knowledge = (): AgentKnowledge => ({
    version,
    pluginVersion: pluginVersion(),
    identity: memory.file.identity,
    networks: agent.network === undefined ? [] : allNetworks(agent.network),
    state: agent.state,
    leases: agent.leases,
    attachment: options.attachment,
    waitingFor: agent.waitingFor,
    problems: agent.problems,
  });
  // A socket of its own: the agent's owns the table.
  const nft = openNft();
  const looker: Looker = new Looker({
    node: options.nodeName,
    rtnl,
    sysctls: kernelSysctls(undefined, options.sysctlDir),
    nft,
    pods: () => pods.places(),
    underlay: () => agent.underlay?.device,
    knowledge,
    asker: () => service.asker(),
    report: async (withStore) => ({
      log: parts.tail.text(),
      secrets: service.secrets,
      files: {
        "agent/status.json": parts.status(),
        "agent/options.json": options,
        "kernel/writes.json": rtnl.counters,
        ...(withStore ? await storeFiles(store) : {}),
      },
    }),
    ...(flows?.isOn === true && { flows: (request) => flows.page(request) }),
    ...(flows && { decisions: () => flows.decisions() }),
    ...(policy && {
      policy: new PolicyQuestions({
        ...{ node: options.nodeName, nft, policy },
        ownAddresses: () => new Set(rtnl.addresses().map(({ address }) => address)),
      }),
    }),
    clock,
    random,
  });
  const { nodeName: node, peerPort: port } = options;
  const service = new LookService({
    ...{ node, port, looker, leases: () => agent.leases, store, clock, random, log },
    sharesFlows: options.shareFlows,
  });
  return service;
}

export interface LookServiceOptions {
  readonly node: string;
  /** Other nodes are told of all flows of this one; else of those with an end of theirs. */
  readonly sharesFlows: boolean;
  /** TCP; 0: this node neither asks others nor answers them. */
  readonly port: number;
  readonly looker: Pick<Looker, "answers" | "close">;
  readonly leases: () => ReadonlyMap<string, Lease>;
  readonly store: Datastore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Milliseconds for an answer: an examination waits for probes that are lost. */
const askTimeout = { examine: 180_000, other: 30_000 };
const keyRetryMs = 500;
/** An agent that has just started has the key in a moment. */
const keyWithinMs = 5_000;

/**
 * Questions about this node (src/insight/questions.ts): of its own command line, which may ask anything, and of other nodes'
 * agents, which may ask what concerns pods of theirs: their packets pass that node anyway, so nobody learns of traffic by
 * asking around. The command line asks other nodes through this agent, which has the key.
 */
export class LookService {
  readonly #options: LookServiceOptions;
  readonly #stop = new AbortController();
  #key: Uint8Array | undefined;
  #close: (() => void) | undefined;

  constructor(options: LookServiceOptions) {
    this.#options = options;
    if (options.port !== 0) void this.#serve();
  }

  stop(): void {
    this.#stop.abort();
    this.#close?.();
    this.#options.looker.close();
  }

  /** What no bundle may hold. */
  get secrets(): readonly string[] {
    return this.#key === undefined
      ? []
      : [Buffer.from(this.#key).toString("base64"), Buffer.from(this.#key).toString("hex")];
  }

  /** For questions that lead to further ones. */
  asker(): Asker {
    const { node, leases } = this.#options;
    return {
      node,
      reaches: this.#key !== undefined,
      nodes: [...leases().values()].map(({ node: name, addresses, subnets }) => ({ name, addresses, subnets })),
      ask: async (asked, question, params) =>
        (await this.look({ node: asked, question, params })) as Answer<typeof question>,
    };
  }

  /** @throws TwillError: what was answered; `not-found` for a node that is not in the cluster. */
  async look({ node, question, params }: LookCall): Promise<unknown> {
    if (node === undefined || node === this.#options.node) return this.#answer(question, params);
    const { leases, random, clock, port } = this.#options;
    const lease = leases().get(node);
    const [address] = lease?.addresses ?? [];
    if (lease === undefined || address === undefined) {
      throw new TwillError("not-found", "no such node is in the cluster", {
        operation: "ask node",
        object: node,
        remedy: "twill get nodes lists them",
      });
    }
    for (let waited = 0; this.#key === undefined && waited < keyWithinMs && port !== 0; waited += keyRetryMs)
      await clock.sleep(keyRetryMs, this.#stop.signal);
    if (this.#key === undefined || lease.peerPort === undefined) {
      throw new TwillError("unavailable", "agents cannot ask each other", {
        operation: "ask node",
        object: node,
        remedy: "the agents need --peer-port and the datastore, which holds their key",
      });
    }
    const timeout = question === "examine" ? askTimeout.examine : askTimeout.other;
    return askPeer(question, params, { address, port: lease.peerPort, key: this.#key, random, timeout });
  }

  /** The key is made by whichever agent measures first (peers.ts). */
  async #serve(): Promise<void> {
    const { port, random, log, store, clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted && this.#key === undefined) {
      try {
        const stored = await store.get(SECRETS, PEER_KEY);
        if (stored !== undefined) this.#key = decodeKey(stored.value);
      } catch (error) {
        if (!isCode(error, "unavailable")) log.debug("no key for asking other nodes yet", { error });
      }
      if (this.#key === undefined) await clock.sleep(keyRetryMs, signal);
    }
    if (signal.aborted || this.#key === undefined) return;
    this.#close = serveChannel({
      port,
      key: this.#key,
      random,
      log,
      peerAt: (address) => this.#nodeAt(address),
      answer: async (peer, question, params) => this.#answer(question, this.#permitted(peer, question, params)),
    });
  }

  #nodeAt(address: Address): string | undefined {
    for (const [name, { addresses }] of this.#options.leases()) if (addresses.includes(address)) return name;
    return undefined;
  }

  async #answer(question: string, params: unknown): Promise<unknown> {
    const known = questionOf(question);
    return ask(this.#options.looker, known, params);
  }

  /** @throws TwillError `denied` for what does not concern the asking node's pods. */
  #permitted(peer: string, question: string, params: unknown): unknown {
    const known = questionOf(question);
    const { subnets = [], addresses = [] } = this.#options.leases().get(peer) ?? {};
    if (known === "flows" && !this.#options.sharesFlows) {
      const request = readAsked.flows(params);
      return { ...request, filter: { ...request.filter, among: [...subnets, ...addresses] } };
    }
    const ends = endsOf(known, params);
    if (ends === undefined || ends.some((address) => addresses.includes(address) || isIn(subnets, address)))
      return params;
    throw new TwillError("denied", `node ${peer} may ask about traffic of its own only`, {
      operation: question,
      remedy: "ask on the node of the pod",
    });
  }
}

function ask<Q extends Question>(looker: Pick<Looker, "answers">, question: Q, params: unknown): unknown {
  return looker.answers[question](readAsked[question](params));
}

function questionOf(text: string): Question {
  if (Object.hasOwn(readAsked, text)) return text as Question;
  throw new TwillError("unsupported", `this agent cannot be asked ${JSON.stringify(text.slice(0, 40))}`, {
    remedy: "restart the agents, so that all are of one version",
  });
}

/** Addresses of which one must be a pod of the asking node's; undefined: the question is about nobody's traffic. */
function endsOf(question: Question, params: unknown): readonly Address[] | undefined {
  switch (question) {
    case "walk": {
      const { packet } = readAsked.walk(params);
      return [packet.source, packet.destination];
    }
    case "probe":
      return [readAsked.probe(params).destination];
    case "policyRows": {
      const { source, destination } = readAsked.policyRows(params);
      return [source, destination];
    }
    case "policyPart":
      return []; // the cluster's own matters are told to this node's command line only
    case "watch":
      return readAsked.watch(params).hosts;
    default:
      return undefined;
  }
}

/** The datastore's objects but the secret ones: a file a kind. */
async function storeFiles(store: Datastore): Promise<Record<string, unknown>> {
  const files: Record<string, unknown> = {};
  for (const kind of [CONFIG, NODES, SUBNETS]) {
    try {
      const { objects } = await store.list(kind);
      files[`store/${kind}.json`] = objects.map(({ name, revision, value }) => ({
        name,
        revision,
        value: new TextDecoder().decode(value),
      }));
    } catch (error) {
      files[`store/${kind}.json`] = { error: describeError(error) };
    }
  }
  return files;
}

const isIn = (subnets: readonly Prefix[], address: Address): boolean =>
  subnets.some((subnet) => contains(subnet, address));
