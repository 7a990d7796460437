import type { Claim } from "../../compile/policy/claim.ts";
import { endpointClaim } from "../../compile/policy/claims.ts";
import { type Fact, type FactKey, factKey } from "../../compile/policy/fact.ts";
import { matchesEndpoint, matchesLabels } from "../../compile/policy/selector.ts";
import type { EndpointMatch, PeerMatch, PolicyModel, PolicyNode, WorkloadEndpoint } from "../../model/policy.ts";
import { addBit, type Bits, bitsAnd, bitsMinus, bitsOr, bitsWhere, emptyBits } from "./bits.ts";
import type { Kind, Universe } from "./universe.ts";

/** `perhaps` holds `surely`, and those of which nobody knows: endpoints whose labels could not be read. */
export interface Matched {
  readonly surely: Bits;
  readonly perhaps: Bits;
}

/** For which kinds of a universe the facts hold that one model's policies ask for. Each is asked once. */
export class Predicates {
  readonly #universe: Universe;
  readonly #model: PolicyModel;
  readonly #which: number;
  readonly #byNamespace: ReadonlyMap<string, readonly Kind[]>;
  readonly #cache = new Map<FactKey, Matched>();
  readonly #all: Bits;
  readonly #unknown: Bits;

  constructor(universe: Universe, model: PolicyModel) {
    this.#universe = universe;
    this.#model = model;
    this.#which = universe.models.indexOf(model);
    this.#all = this.where(() => true);
    this.#unknown = this.where((kind) => this.workload(kind) !== undefined && !this.isKnown(kind));
    const workloads = universe.kinds.filter((kind) => this.isKnown(kind));
    this.#byNamespace = Map.groupBy(workloads, (kind) => this.workload(kind)?.namespace ?? "");
  }

  /** As it is in this model. */
  workload({ who }: Kind): WorkloadEndpoint | undefined {
    return who.of === "workloads" ? who.sample[this.#which] : undefined;
  }

  /** Its labels and its namespace's could be read. */
  isKnown(kind: Kind): boolean {
    const endpoint = this.workload(kind);
    return endpoint !== undefined && endpoint.unknown !== true && this.#model.namespaces.has(endpoint.namespace);
  }

  /** As the compiler knows it. */
  claim(kind: Kind): Claim | undefined {
    const { who } = kind;
    if (who.of === "nodes") return { node: this.#node(kind), own: who.own };
    const endpoint = this.workload(kind);
    return endpoint === undefined
      ? undefined
      : endpointClaim(this.#model, `${endpoint.namespace}/${endpoint.pod}`, endpoint);
  }

  where(holds: (kind: Kind) => boolean): Bits {
    const { kinds } = this.#universe;
    return bitsWhere(kinds.length, (index) => {
      const kind = kinds[index];
      return kind !== undefined && holds(kind);
    });
  }

  matched(fact: Fact): Matched {
    const key = factKey(fact);
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const found = this.#fact(fact);
    this.#cache.set(key, found);
    return found;
  }

  #fact(fact: Fact): Matched {
    if ("ownNode" in fact) return certain(this.where(({ who }) => who.of === "nodes" && who.own));
    if ("unknownPorts" in fact) return { surely: this.#none(), perhaps: this.#unknown };
    if ("peer" in fact) return this.#peers(fact.peer);
    const { portName, protocol, port } = fact;
    return this.#orUnknown(
      this.where((kind) => {
        const ports = this.isKnown(kind) ? (this.workload(kind)?.ports ?? []) : [];
        return ports.some((one) => one.name === portName && one.protocol === protocol && one.port === port);
      }),
    );
  }

  #peers(match: PeerMatch): Matched {
    if ("any" in match) return this.#fold(match.any, bitsOr, this.#none());
    if ("all" in match) return this.#fold(match.all, bitsAnd, this.#all);
    if ("not" in match) {
      const { surely, perhaps } = this.matched({ peer: match.not });
      return { surely: bitsMinus(this.#all, perhaps), perhaps: bitsMinus(this.#all, surely) };
    }
    if ("endpoints" in match) return this.#orUnknown(this.#endpoints(match.endpoints));
    if ("nodes" in match) {
      return certain(
        this.where((kind) => {
          const node = this.#node(kind);
          return node !== undefined && matchesLabels(match.nodes, node.labels);
        }),
      );
    }
    const { networks, except } = match;
    return certain(
      this.where(
        (kind) => networks.some((one) => kind.networks.has(one)) && !except.some((one) => kind.networks.has(one)),
      ),
    );
  }

  #fold(matches: readonly PeerMatch[], join: (a: Bits, b: Bits) => Bits, start: Bits): Matched {
    const found = matches.map((peer) => this.matched({ peer }));
    return {
      surely: found.map(({ surely }) => surely).reduce(join, start),
      perhaps: found.map(({ perhaps }) => perhaps).reduce(join, start),
    };
  }

  #endpoints(match: EndpointMatch): Bits {
    const bits = this.#none();
    const { namespace, namespaces } = match;
    for (const [name, kinds] of namespace === undefined ? this.#byNamespace : this.#in(namespace)) {
      const labels = this.#model.namespaces.get(name)?.labels ?? {};
      if (namespaces !== undefined && !matchesLabels(namespaces, labels)) continue;
      for (const kind of kinds) {
        const endpoint = this.workload(kind);
        if (endpoint !== undefined && matchesEndpoint(match, endpoint, labels)) addBit(bits, kind.index);
      }
    }
    return bits;
  }

  #in(namespace: string): readonly (readonly [string, readonly Kind[]])[] {
    const kinds = this.#byNamespace.get(namespace);
    return kinds === undefined ? [] : [[namespace, kinds]];
  }

  #node({ who }: Kind): PolicyNode | undefined {
    return who.of === "nodes" ? who.sample[this.#which] : undefined;
  }

  #orUnknown(surely: Bits): Matched {
    return { surely, perhaps: bitsOr(surely, this.#unknown) };
  }

  #none(): Bits {
    return emptyBits(this.#universe.kinds.length);
  }
}

const certain = (bits: Bits): Matched => ({ surely: bits, perhaps: bits });
