import type { Address } from "../../base/address.ts";
import type { Problem } from "../../base/problem.ts";
import type { EndpointName, PolicyModel } from "../../model/policy.ts";
import type { PolicyModelChange } from "../../model/policy-inputs.ts";
import {
  type AddressRow,
  type DecisionNumber,
  decisionKey,
  type NetworkRow,
  ownNodeClass,
  type PolicyChange,
  type PolicyState,
  portKey,
} from "../../model/policy-state.ts";
import { DecisionNumbers } from "./decision-numbers.ts";
import { freshTables } from "./fresh.ts";
import { Numbering } from "./numbering.ts";
import { policyProblems } from "./problems.ts";
import { GroupTable } from "./rows.ts";

export interface PolicyCompilerOptions {
  /** The node whose kernel the state is for. */
  readonly node: string;
  /** What becomes of endpoints of which nothing is known. Default: deny. */
  readonly unknownEndpoints?: "deny" | "allow";
  /** What a restarted agent finds in the kernel: numbers are kept wherever that leaves rows as they are. */
  readonly held?: HeldPolicy;
}

export interface HeldPolicy {
  readonly addresses: ReadonlyMap<Address, AddressRow>;
  readonly networks: readonly NetworkRow[];
  readonly ports: PolicyState["ports"];
  /** Those of the verdicts, and those that connections still bear. */
  readonly decisions: PolicyState["verdicts"];
}

/**
 * From the model to what one node's kernel must know of policy. It reads the live model when it updates, and is told which entries may be
 * other, never what they are: news that come late, twice or in any order do no harm.
 */
export class PolicyCompiler {
  readonly #model: PolicyModel;
  readonly #options: PolicyCompilerOptions;
  readonly #attached = new Map<EndpointName, readonly Address[]>();
  readonly #numbers: DecisionNumbers;
  readonly #classes = new Numbering(ownNodeClass + 1);
  readonly #groups = new Numbering(1);
  #state: PolicyState;

  constructor(model: PolicyModel, options: PolicyCompilerOptions) {
    this.#model = model;
    this.#options = options;
    this.#numbers = new DecisionNumbers(options.held?.decisions);
    this.#state = {
      addresses: options.held?.addresses ?? new Map(),
      networks: options.held?.networks ?? [],
      ports: options.held?.ports ?? new Map(),
      decisions: new Map(),
      verdicts: new Map(),
    };
  }

  /** As of the last `update`. */
  get state(): PolicyState {
    return this.#state;
  }

  get decisionNumbers(): Pick<DecisionNumbers, "decisions" | "forget"> {
    return this.#numbers;
  }

  /** What could not be done as it was meant. */
  get problems(): readonly Problem[] {
    return policyProblems(this.#model);
  }

  /** Which endpoints are joined to this node, by this node's own knowledge, and with which addresses. */
  get attached(): ReadonlyMap<EndpointName, readonly Address[]> {
    return this.#attached;
  }

  /**
   * The endpoint is joined to this node with these addresses, whatever the model says of them, and whether it knows the endpoint or not:
   * as long as it does not, the endpoint is denied. Takes effect with the next `update`.
   */
  attach(endpoint: EndpointName, addresses: readonly Address[]): void {
    this.#attached.set(endpoint, addresses);
  }

  detach(endpoint: EndpointName): void {
    this.#attached.delete(endpoint);
  }

  /**
   * @param change what of the model may be other than at the last update. Absent at the first: everything.
   * @returns the rows that are other now. At the first update: than what was held.
   */
  update(_change?: Partial<PolicyModelChange>): PolicyChange {
    const before = this.#state;
    const tables = freshTables(this.#model, this.#attached, this.#options);

    const classVotes = new Map<string, Map<number, number>>();
    const vote = (votes: Map<string, Map<number, number>>, content: string, number: number | undefined) => {
      const of = votes.get(content) ?? new Map<number, number>();
      if (number !== undefined && number !== 0) of.set(number, (of.get(number) ?? 0) + 1);
      votes.set(content, of);
    };
    const networksBefore = new Map(before.networks.map((row) => [row.first, row.class]));
    for (const [address, { content }] of tables.addresses) {
      vote(classVotes, content, before.addresses.get(address)?.class);
    }
    for (const { first, content } of tables.networks) vote(classVotes, content, networksBefore.get(first));
    classVotes.delete("");
    classVotes.delete(tables.ownRest);
    this.#classes.settle(this.#goneClasses(classVotes), classVotes);
    this.#knownClasses = new Set(classVotes.keys());
    const classNumber = (content: string) =>
      content === "" ? 0 : content === tables.ownRest ? ownNodeClass : (this.#classes.of(content) ?? 0);

    const groupVotes = new Map<string, Map<number, number>>();
    for (const [address, row] of tables.addresses) {
      const was = before.addresses.get(address);
      if (row.ingress !== undefined) vote(groupVotes, row.ingress, was?.ingress);
      if (row.egress !== undefined) vote(groupVotes, row.egress, was?.egress);
    }
    this.#groups.settle(
      [...this.#knownGroups].filter((content) => !groupVotes.has(content)),
      groupVotes,
    );
    this.#knownGroups = new Set(groupVotes.keys());
    const groupNumber = (content: string | undefined) => (content === undefined ? 0 : (this.#groups.of(content) ?? 0));

    const addresses = new Map<Address, AddressRow>();
    for (const [address, { content, ingress, egress, always }] of tables.addresses) {
      const row = { class: classNumber(content), ingress: groupNumber(ingress), egress: groupNumber(egress) };
      if (always || row.ingress !== 0 || row.egress !== 0) addresses.set(address, row);
    }
    const networks = tables.networks.map(({ first, last, content }) => ({ first, last, class: classNumber(content) }));
    const ports: Map<string, PolicyState["ports"] extends ReadonlyMap<string, infer Row> ? Row : never> = new Map();
    const decisions = new Map<string, DecisionNumber>();
    const verdicts = new Map<
      DecisionNumber,
      PolicyState["verdicts"] extends ReadonlyMap<number, infer D> ? D : never
    >();
    for (const [content, programs] of tables.groups) {
      const group = groupNumber(content);
      const table = new GroupTable(programs);
      for (const cell of table.cells) {
        for (const { first, last } of cell.ranges) {
          const row = { group, protocol: cell.protocol, first, last, class: cell.number };
          ports.set(portKey(group, cell.protocol, first), row);
        }
      }
      const put = (number: number, rows: ReturnType<GroupTable["baseRows"]>) => {
        for (const { cell, decision } of rows) {
          const bears = this.#numbers.take(decision);
          decisions.set(decisionKey(group, number, cell?.protocol ?? 0, cell?.number ?? 0), bears);
          verdicts.set(bears, decision);
        }
      };
      put(0, table.baseRows());
      for (const [content, peers] of tables.classes) if (content !== "") put(classNumber(content), table.rowsOf(peers));
    }
    for (const number of before.decisions.values()) this.#numbers.release(number);
    this.#state = { addresses, networks, ports, decisions, verdicts };
    return difference(before, this.#state);
  }

  #knownClasses: ReadonlySet<string> = new Set();
  #knownGroups: ReadonlySet<string> = new Set();

  #goneClasses(now: ReadonlyMap<string, unknown>): readonly string[] {
    return [...this.#knownClasses].filter((content) => !now.has(content));
  }
}

function difference(before: PolicyState, after: PolicyState): PolicyChange {
  const rows = <K, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): ReadonlyMap<K, V | undefined> => {
    const changed = new Map<K, V | undefined>();
    for (const [key, value] of b) if (JSON.stringify(a.get(key)) !== JSON.stringify(value)) changed.set(key, value);
    for (const key of a.keys()) if (!b.has(key)) changed.set(key, undefined);
    return changed;
  };
  const same = JSON.stringify(before.networks) === JSON.stringify(after.networks);
  return {
    addresses: rows(before.addresses, after.addresses),
    ...(same ? {} : { networks: after.networks }),
    ports: rows(before.ports, after.ports),
    decisions: rows(before.decisions, after.decisions),
    verdicts: rows(before.verdicts, after.verdicts),
  };
}

/** The state for a model as it is now. */
export function compilePolicy(
  model: PolicyModel,
  options: PolicyCompilerOptions,
  attached: ReadonlyMap<EndpointName, readonly Address[]> = new Map(),
): PolicyState {
  const compiler = new PolicyCompiler(model, options);
  for (const [endpoint, addresses] of attached) compiler.attach(endpoint, addresses);
  compiler.update();
  return compiler.state;
}
