import type { EndpointMatch, NamedPort, Selector } from "../../model/policy.ts";
import { endpointMatches, leafHolds } from "./claim.ts";
import { type FactsChange, type FactsInUse, type Trait, traitKey } from "./facts-in-use.ts";
import { MatchIndex } from "./match-index.ts";
import { PartyIndex } from "./party-index.ts";
import type { Party } from "./population.ts";
import { yes } from "./truth.ts";

/**
 * Which party has which traits. A new party is asked about the traits that its labels lead to, a new trait about the parties; nothing
 * looks at all of both.
 */
export class TraitKeeper {
  readonly #facts: FactsInUse;
  readonly #endpoints = new PartyIndex();
  readonly #nodes = new Set<Party>();
  readonly #endpointTraits = new MatchIndex<Trait>();
  readonly #nodeTraits = new Set<Trait>();
  readonly #ports = new Map<string, Map<string, PortUse>>();

  constructor(facts: FactsInUse) {
    this.#facts = facts;
  }

  /** The ports of that name that some endpoint has, in an order that is always the same. */
  peerPorts(name: string): readonly NamedPort[] {
    const ports = [...(this.#ports.get(name)?.values() ?? [])].map(({ port }) => port);
    return ports.sort((a, b) => a.protocol - b.protocol || a.port - b.port);
  }

  /**
   * Takes parties that came or went (those of `size` 0).
   * @returns parties whose traits are other, and names that stand for other ports than before.
   */
  meet(parties: Iterable<Party>): { readonly changed: readonly Party[]; readonly portNames: ReadonlySet<string> } {
    const changed: Party[] = [];
    const portNames = new Set<string>();
    for (const party of parties) {
      if (party.size === 0) this.#leave(party, portNames);
      else if (!this.#knows(party)) this.#enter(party, portNames);
      else continue;
      changed.push(party);
    }
    return { changed, portNames };
  }

  /** @returns parties whose traits are other. */
  follow({ born, died }: Pick<FactsChange, "born" | "died">): ReadonlySet<Party> {
    const changed = new Set<Party>();
    for (const trait of died) {
      for (const party of trait.parties) {
        party.traits.delete(trait);
        changed.add(party);
      }
      trait.parties.clear();
      if ("endpoints" in trait.condition) this.#endpointTraits.delete(trait.condition.endpoints, trait);
      if ("nodes" in trait.condition) this.#nodeTraits.delete(trait);
    }
    for (const trait of born) {
      for (const party of this.#having(trait)) {
        give(party, trait);
        changed.add(party);
      }
    }
    return changed;
  }

  #having(trait: Trait): Iterable<Party> {
    const { condition } = trait;
    if ("endpoints" in condition) return this.#havingEndpoints(trait, condition.endpoints);
    if ("nodes" in condition) return this.#havingNodes(trait, condition.nodes);
    if ("port" in condition) {
      return this.#ports.get(condition.port.name)?.get(portText(condition.port))?.parties ?? [];
    }
    return [];
  }

  #havingEndpoints(trait: Trait, match: EndpointMatch): Iterable<Party> {
    this.#endpointTraits.add(match, trait);
    return this.#endpoints.matching(match);
  }

  #havingNodes(trait: Trait, nodes: Selector): Iterable<Party> {
    this.#nodeTraits.add(trait);
    return [...this.#nodes].filter(({ claim }) => leafHolds({ nodes }, claim, "nowhere") === yes);
  }

  #knows(party: Party): boolean {
    return this.#nodes.has(party) || this.#endpoints.all.has(party);
  }

  #enter(party: Party, portNames: Set<string>): void {
    const { claim } = party;
    if ("own" in claim) {
      this.#nodes.add(party);
      if (claim.own) give(party, this.#facts.ownNode);
      for (const trait of this.#nodeTraits) {
        if ("nodes" in trait.condition && leafHolds(trait.condition, claim, "nowhere") === yes) give(party, trait);
      }
      return;
    }
    this.#endpoints.add(party);
    if (claim.known === undefined) {
      give(party, this.#facts.unknown);
      return;
    }
    for (const trait of this.#endpointTraits.candidates(claim.namespace, claim.known)) {
      if ("endpoints" in trait.condition && endpointMatches(trait.condition.endpoints, claim) === yes)
        give(party, trait);
    }
    for (const port of claim.known.ports) {
      const values = this.#ports.get(port.name) ?? new Map<string, PortUse>();
      this.#ports.set(port.name, values);
      const text = portText(port);
      const use = values.get(text);
      if (use === undefined) {
        values.set(text, { port, parties: new Set([party]) });
        portNames.add(port.name);
      } else use.parties.add(party);
      const trait = this.#facts.trait(traitKey({ port }));
      if (trait !== undefined) give(party, trait);
    }
  }

  #leave(party: Party, portNames: Set<string>): void {
    this.#nodes.delete(party);
    this.#endpoints.delete(party);
    for (const trait of party.traits) trait.parties.delete(party);
    party.traits.clear();
    if ("own" in party.claim) return;
    for (const port of party.claim.known?.ports ?? []) {
      const values = this.#ports.get(port.name);
      const use = values?.get(portText(port));
      use?.parties.delete(party);
      if (use?.parties.size === 0 && values?.delete(portText(port)) === true) portNames.add(port.name);
      if (values?.size === 0) this.#ports.delete(port.name);
    }
  }
}

interface PortUse {
  readonly port: NamedPort;
  readonly parties: Set<Party>;
}

const portText = ({ protocol, port }: NamedPort): string => `${protocol}/${port}`;

function give(party: Party, trait: Trait): void {
  party.traits.add(trait);
  trait.parties.add(party);
}
