import type { Address } from "../base/address.ts";
import { contains, type Prefix } from "../base/prefix.ts";
import type { Answer, Asked, Question } from "./questions.ts";

/** A node of the cluster, as its lease says. */
export interface KnownNode {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly subnets: readonly Prefix[];
}

/** Where questions go: to the agent of this node, and through it to the others'. */
export interface Asker {
  /** This node. */
  readonly node: string;
  readonly nodes: readonly KnownNode[];
  /** Other nodes can be asked at all: else nothing follows from their silence. */
  readonly reaches: boolean;
  /** @throws TwillError: what the node answered; `unavailable` when it does not. */
  ask<Q extends Question>(node: string, question: Q, params: Asked<Q>): Promise<Answer<Q>>;
}

export const nodeAt = (asker: Asker, address: Address): KnownNode | undefined =>
  asker.nodes.find(({ addresses }) => addresses.includes(address));

/** The node whose pods' subnet holds the address. */
export const nodeOfPod = (asker: Asker, address: Address): KnownNode | undefined =>
  asker.nodes.find(({ subnets }) => subnets.some((subnet) => contains(subnet, address)));
