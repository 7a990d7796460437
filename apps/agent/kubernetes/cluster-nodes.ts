import { TwillError } from "../../../src/base/errors.ts";
import type { Prefix } from "../../../src/base/prefix.ts";
import { annotated, isManaged, parsePodCidrs } from "../../../src/intent/flannel/node-annotations.ts";
import type { NodeObserver } from "../../../src/store/kubernetes/node-kind.ts";
import type { Node } from "../../../src/store/kubernetes/object.ts";
import { type OwnNode, readOwnNode } from "./own-node.ts";

/** Another Node, as far as its subnets concern this one. */
export interface OtherNode {
  readonly name: string;
  readonly podCidrs: readonly Prefix[];
  /** A flanneld or Twill announces its podCIDRs, so the others lead packets there. */
  readonly managed: boolean;
}

/**
 * The cluster's Nodes, out of the same list and watch as the leases (kind `nodes`). Listeners are told of what matters to
 * an agent only: kubelets report all the time.
 */
export class ClusterNodes implements NodeObserver {
  readonly name: string;
  readonly #others = new Map<string, OtherNode>();
  readonly #listeners: (() => void)[] = [];
  #own: OwnNode | undefined;
  #known = false;

  /** @param name of this node's Node. */
  constructor(name: string) {
    this.name = name;
  }

  /** The Nodes were listed. Before that nothing is known of them; afterwards what was known stays while the datastore is away. */
  get known(): boolean {
    return this.#known;
  }

  /** Undefined: not known, or the kubelet has not registered it. */
  get own(): OwnNode | undefined {
    return this.#own;
  }

  get others(): Iterable<OtherNode> {
    return this.#others.values();
  }

  subscribe(listener: () => void): void {
    this.#listeners.push(listener);
  }

  replaced(nodes: readonly Node[]): void {
    const gone = new Set([...this.#others.keys(), this.name]);
    let changed = !this.#known;
    this.#known = true;
    for (const node of nodes) {
      gone.delete(node.metadata.name);
      changed = this.#put(node) || changed;
    }
    for (const name of gone) changed = this.#remove(name) || changed;
    if (changed) this.#tell();
  }

  changed(node: Node): void {
    if (this.#put(node)) this.#tell();
  }

  deleted(name: string): void {
    if (this.#remove(name)) this.#tell();
  }

  #put(node: Node): boolean {
    const { name } = node.metadata;
    if (name === this.name) {
      const before = JSON.stringify(this.#own);
      this.#own = readOwnNode(node);
      return JSON.stringify(this.#own) !== before;
    }
    const other: OtherNode = { name, podCidrs: podCidrsOf(node), managed: isManaged(annotated(node)) };
    if (sameNode(this.#others.get(name), other)) return false;
    this.#others.set(name, other);
    return true;
  }

  #remove(name: string): boolean {
    if (name !== this.name) return this.#others.delete(name);
    const had = this.#own !== undefined;
    this.#own = undefined;
    return had;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** What cannot be a node's subnets is nobody's to overlap. */
function podCidrsOf(node: Node): readonly Prefix[] {
  try {
    return parsePodCidrs(annotated(node));
  } catch (error) {
    if (error instanceof TwillError) return [];
    throw error;
  }
}

const sameNode = (a: OtherNode | undefined, b: OtherNode): boolean =>
  a !== undefined && a.managed === b.managed && a.podCidrs.join() === b.podCidrs.join();
