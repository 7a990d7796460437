import type { Lease } from "../model/network.ts";
import type { NodeState, StateChange } from "../model/node-state.ts";
import { Compilation } from "./compilation.ts";
import type { CompileInput } from "./own-state.ts";

/** The leases as they are at the moment, by the names under which they are stored (a Reflector). */
export interface LeaseSource {
  get(name: string): Lease | undefined;
  objects(): ReadonlyMap<string, Lease>;
}

/**
 * Follows the inputs at the cost of what changes. It is told which leases may be other, never what they are: those it reads
 * when it compiles, so that no order of news can leave it behind.
 */
export class Compiler {
  readonly #leases: LeaseSource;
  readonly #stale = new Set<string>();
  #compilation: Compilation | undefined;
  #printedInput = "";

  constructor(leases: LeaseSource) {
    this.#leases = leases;
  }

  /** As of the last update. */
  get state(): NodeState | undefined {
    return this.#compilation;
  }

  /** The lease of that name is new, another or gone. */
  mark(name: string): void {
    this.#stale.add(name);
  }

  /** @returns the state, and how it differs from that of the update before. Both are live: to be used before the next. */
  update(input: CompileInput): { readonly state: NodeState; readonly change: StateChange } {
    const stale = [...this.#stale];
    this.#stale.clear();
    const printed = JSON.stringify(input);
    if (this.#compilation !== undefined && this.#printedInput === printed) {
      const peers = this.#compilation.patch(new Map(stale.map((name) => [name, this.#leases.get(name)])));
      return { state: this.#compilation, change: { peers } };
    }
    this.#printedInput = printed;
    this.#compilation = new Compilation(input);
    this.#compilation.patch(this.#leases.objects());
    return { state: this.#compilation, change: this.#compilation };
  }
}
