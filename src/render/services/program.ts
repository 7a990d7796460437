import type { Family } from "../../base/address.ts";
import { lengthOf, type Prefix, prefixFamily } from "../../base/prefix.ts";
import { protocols } from "../../model/policy.ts";
import { hostData, maskData, prefixData, zeroData } from "../../objects/nft-data.ts";
import type { NftExpression, NftRegister } from "../../objects/nft-expression.ts";
import { labels, marks, priorities } from "../hooks.ts";
import { type ChainOfRules, chainOf, type RuleLine } from "../policy/evaluation.ts";
import {
  go,
  hasBits,
  is,
  isByte,
  isFamily,
  loadAddress,
  loadDestinationPort,
  loadProtocol,
  lookup,
} from "../policy/registers.ts";
import { dice, throwsOf } from "./dice.ts";
import {
  type Asker,
  affineChain,
  askedChain,
  dieChain,
  dropChain,
  guardedChain,
  refuseChain,
  rememberChain,
  type Stage,
  serviceSets,
} from "./names.ts";

/** What the chains of Services depend on, beside the maps. */
export interface ServicesOptions {
  /** Where pods' addresses lie: who comes from there is inside. */
  readonly clusterNetworks: readonly Prefix[];
  /** Times of session affinity in use. */
  readonly affinitySeconds: ReadonlySet<number>;
}

const families: readonly Family[] = [4, 6];

/**
 * All chains of Services (docs/design/services.md): no chain and no rule for a Service.
 *
 *     services            prerouting    what pods and the outside send: dnat, refuse or drop
 *     services_node       output        what this machine sends
 *     service_affinity    input         remembers who was given which endpoint, where that is on this machine itself
 *     service_masquerade  postrouting   the same elsewhere; and what must come back through this node gets its address
 */
export function servicesProgram({ clusterNetworks, affinitySeconds }: ServicesOptions): ChainOfRules[] {
  const fromPods = clusterNetworks.map((network): RuleLine => {
    const family = prefixFamily(network);
    return [`from ${network}`, ...isFamily(family), ...sourceIn(network), go("goto", askedChain(family, "pod"))];
  });
  const byFamily = (asker: Asker): RuleLine[] =>
    families.map((family) => [`IPv${family}`, ...isFamily(family), go("goto", askedChain(family, asker))]);
  const seconds = [...affinitySeconds].sort((a, b) => a - b);
  return [
    base("services", "prerouting", "Services, for pods and the outside", [...fromPods, ...byFamily("outside")]),
    base("services_node", "output", "Services, for this node", byFamily("node")),
    base("service_affinity", "input", "clients and their endpoints, here", [remember]),
    base("service_masquerade", "postrouting", "what must come back through this node", [
      remember,
      ...families.flatMap(masqueraded),
    ]),
    ...families.flatMap((family) => [
      ...(["pod", "node", "outside"] as const).map((asker) => asked(family, asker)),
      guarded(family),
      affine(family),
      ...seconds.map((each) => remembered(family, each)),
      ...dice.map((faces) => die(family, faces)),
    ]),
    refuse,
    chainOf(dropChain, "Services: no endpoint here, or not for this client", [["dropped", { type: "counter" }, drop]]),
  ];
}

const drop: NftExpression = { type: "verdict", verdict: { verdict: "drop" } };

function base(
  name: "services" | "services_node" | "service_affinity" | "service_masquerade",
  hook: "prerouting" | "output" | "input" | "postrouting",
  comment: string,
  rules: readonly RuleLine[],
): ChainOfRules {
  const { chain, rules: all } = chainOf(name, comment, rules);
  return { chain: { ...chain, base: { type: "nat", hook, priority: priorities[name], policy: "accept" } }, rules: all };
}

/**
 * The connection's label: four words, of which one is the pool's number. It is what one rule tells the next, for registers do not live that
 * long, and what tells conntrack's readers which Service a connection uses.
 */
const labelRegister: NftRegister = 0;
const poolRegister: NftRegister = labelRegister + labels.pool;
const loadPool: NftExpression = { type: "ct", key: "label", to: labelRegister };
/** Key of a frontend: an address of up to four words, protocol, port. */
const keyRegister: NftRegister = 8;
const wayRegister: NftRegister = 15;
const words: Readonly<Record<Family, number>> = { 4: 1, 6: 4 };

/** Where a map of pools leads. */
const follow = (stage: Stage): NftExpression[] => [
  lookup(serviceSets[stage], poolRegister, wayRegister - 1),
  lookup(serviceSets.ways[stage], wayRegister, "verdict"),
];

/**
 * `frontends` and `node_ports` give nothing, the pool of the inside, and that of the outside: nft (1.0.6) dies of an assertion when it lists
 * a key that begins where a map's data does.
 */
function takePool(asker: Asker, set: string, key: readonly NftExpression[], keyAt: NftRegister): NftExpression[] {
  // The word of the other side is emptied again.
  const [to, other] = asker === "outside" ? [poolRegister - 2, poolRegister - 1] : [poolRegister - 1, poolRegister + 1];
  return [
    ...key,
    { type: "immediate", to: labelRegister, value: zeroData(16) },
    lookup(set, keyAt, to),
    { type: "immediate", to: other, value: zeroData(4) },
    { type: "ct.set", key: "label", from: labelRegister },
    ...(asker === "pod" ? [] : markOwn),
    ...follow("pools"),
  ];
}

/** Comes back through this node: see `masqueraded`. */
const markOwn: readonly NftExpression[] = [
  { type: "meta", key: "mark", to: keyRegister },
  {
    type: "bitwise",
    from: keyRegister,
    to: keyRegister,
    length: 4,
    mask: hostData(~marks.service >>> 0),
    xor: hostData(marks.service),
  },
  { type: "meta.set", key: "mark", from: keyRegister },
];

/** A reset of ours belongs to the connection that it refuses, and comes by the output hook as its first packet. */
const isRequest: readonly NftExpression[] = [{ type: "ct", key: "direction", to: 0 }, isByte(0, 0)];

function asked(family: Family, asker: Asker): ChainOfRules {
  const address = loadAddress(family, "destination", keyRegister);
  const protocolAt = keyRegister + words[family];
  const port = [loadProtocol(protocolAt), loadDestinationPort(protocolAt + 1)];
  const who = { pod: "pods", node: "this node", outside: "the outside" }[asker];
  return chainOf(askedChain(family, asker), `Services asked for by ${who}`, [
    ["by address", ...takePool(asker, serviceSets.frontends[family], [address, ...port], keyRegister)],
    [
      "by a port of this node",
      ...takePool(
        asker,
        serviceSets.nodePorts[family],
        [address, lookupIn(serviceSets.nodeAddresses[family], keyRegister), ...port],
        protocolAt,
      ),
    ],
    // The tables changed between two lookups: the next attempt finds them whole.
    ["a pool that is gone", ...isRequest, loadPool, is(poolRegister, 0, "neq"), go("goto", dropChain)],
    [
      "a port that the Service has not",
      address,
      lookupIn(serviceSets.clusterAddresses[family], keyRegister),
      go("goto", refuseChain),
    ],
  ]);
}

const lookupIn = (set: string, from: NftRegister): NftExpression => ({ type: "lookup", set, from });

/** Only who is in a range goes on. */
const guarded = (family: Family): ChainOfRules =>
  chainOf(guardedChain(family), "Services: clients that a load balancer takes", [
    [
      "in a range",
      loadPool,
      loadAddress(family, "source", poolRegister + 1),
      lookupIn(serviceSets.sourceRanges[family], poolRegister),
      ...follow("admitted"),
    ],
    ["in none", go("goto", dropChain)],
  ]);

const translate = (family: Family, address: NftRegister): NftExpression => ({
  type: "nat",
  kind: "dnat",
  family,
  address,
  port: address + words[family],
});

/** Behind the translation: the endpoint. */
const whereTo = (family: Family): readonly NftExpression[] => [
  loadAddress(family, "destination", keyRegister),
  loadDestinationPort(keyRegister + words[family]),
];

/** The endpoint that this client had before, if it is still one of the pool. */
const affine = (family: Family): ChainOfRules => {
  const client = [loadPool, loadAddress(family, "source", poolRegister + 1)];
  const affinity = serviceSets.affinity[family];
  return chainOf(affineChain(family), "Services: a client keeps its endpoint", [
    [
      "as before",
      ...client,
      lookup(affinity, poolRegister, poolRegister + 1),
      lookupIn(serviceSets.members[family], poolRegister),
      translate(family, poolRegister + 1),
    ],
    // An update would leave what it finds as it is (nft_rhash_update). Data is not looked at, but a map insists on it (nft_dynset_init).
    [
      "no longer one",
      ...client,
      ...whereTo(family),
      { type: "dynset", set: affinity, op: "delete", key: poolRegister, data: keyRegister },
    ],
    ["another", loadPool, ...follow("dice")],
  ]);
};

const remember: RuleLine = ["a client keeps its endpoint", loadPool, ...follow("affine")];

/** Each new connection begins the time anew. */
const remembered = (family: Family, seconds: number): ChainOfRules =>
  chainOf(rememberChain(family, seconds), `Services: a client keeps its endpoint for ${seconds} s`, [
    [
      "from now on",
      loadPool,
      loadAddress(family, "source", poolRegister + 1),
      ...whereTo(family),
      {
        type: "dynset",
        set: serviceSets.affinity[family],
        op: "update",
        key: poolRegister,
        data: keyRegister,
        timeout: seconds * 1000,
      },
    ],
  ]);

const die = (family: Family, faces: number): ChainOfRules =>
  chainOf(dieChain(family, faces), `Services: one of up to ${faces} endpoints`, [
    ...throwsOf(faces).map(
      (modulus, index): RuleLine => [
        `throw ${index + 1}`,
        loadPool,
        { type: "numgen", to: poolRegister + 1, modulus, kind: "random" },
        lookup(serviceSets.endpoints[family], poolRegister, 4),
        translate(family, 4),
      ],
    ),
    ["the pool has just become empty", go("goto", dropChain)],
  ]);

/** Also for what no port belongs to, ICMP among it. */
const refuse = chainOf(refuseChain, "Services: nobody answers, and the client hears of it at once", [
  ["TCP", loadProtocol(0), isByte(0, protocols.tcp), { type: "counter" }, { type: "reject", kind: "tcp-reset" }],
  // NFT_REJECT_ICMPX_PORT_UNREACH (linux/netfilter/nf_tables.h)
  ["any other", { type: "counter" }, { type: "reject", kind: "icmpx", code: 1 }],
]);

/**
 * A client keeps its address wherever the answer comes back here by itself: from an endpoint of this node. Else, if the client is not a pod,
 * the endpoint would answer it past this node. And an endpoint that is its own client would answer itself.
 */
function masqueraded(family: Family): RuleLine[] {
  const set = serviceSets.localEndpoints[family];
  const twice = (second: "source" | "destination") => [
    loadAddress(family, "destination", keyRegister),
    loadAddress(family, second, keyRegister + words[family]),
  ];
  const masquerade: NftExpression = { type: "masquerade", flags: ["fully-random"] };
  const ours = [...isFamily(family), loadPool, is(poolRegister, 0, "neq")];
  return [
    ["a pod that is its own endpoint", ...ours, ...twice("source"), lookupIn(set, keyRegister), masquerade],
    [
      "not from a pod, and not to one of this node",
      ...ours,
      { type: "meta", key: "mark", to: 0 },
      ...hasBits(0, marks.service),
      ...twice("destination"),
      { type: "lookup", set, from: keyRegister, invert: true },
      masquerade,
    ],
  ];
}

const sourceIn = (network: Prefix): NftExpression[] => {
  const family = prefixFamily(network);
  const length = family === 4 ? 4 : 16;
  return [
    loadAddress(family, "source", keyRegister),
    {
      type: "bitwise",
      from: keyRegister,
      to: keyRegister,
      length,
      mask: maskData(family, lengthOf(network)),
      xor: zeroData(length),
    },
    { type: "cmp", from: keyRegister, op: "eq", value: prefixData(network) },
  ];
};
