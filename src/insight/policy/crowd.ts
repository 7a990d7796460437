import type { Family } from "../../base/address.ts";
import { covers, type Prefix } from "../../base/prefix.ts";
import type { EndpointName, PolicyModel } from "../../model/policy.ts";
import { type Bits, hasBit } from "./bits.ts";
import type { Kind, Universe } from "./universe.ts";
import { type Workload, workloadsOf } from "./workloads.ts";

/** Some of all who can talk, by name: for JSON, and to be said in words (`describeCrowd`). */
export interface Crowd {
  readonly pods: readonly EndpointName[];
  readonly nodes: readonly string[];
  /** Each pod's own node. */
  readonly ownNode: boolean;
  /** Addresses of neither. `undefined`: those in no network that a policy names. Without what smaller networks hold, which are listed themselves. */
  readonly outside: readonly (Prefix | undefined)[];
}

/** Says who is meant in as few words as are true. */
export class Crowds {
  readonly #universe: Universe;
  readonly #workloads: readonly Workload[];
  readonly #all: Readonly<Record<Family, Crowd>>;

  constructor(universe: Universe, model: PolicyModel) {
    this.#universe = universe;
    this.#workloads = workloadsOf(model);
    const everybody = (family: Family): Crowd => this.#of((kind) => kind.family === family);
    this.#all = { 4: everybody(4), 6: everybody(6) };
  }

  of(bits: Bits): Crowd {
    return this.#of(({ index }) => hasBit(bits, index));
  }

  #of(holds: (kind: Kind) => boolean): Crowd {
    const [pods, nodes] = [new Set<string>(), new Set<string>()];
    const outside: (Prefix | undefined)[] = [];
    let ownNode = false;
    for (const kind of this.#universe.kinds) {
      if (!holds(kind)) continue;
      if (kind.who.of === "workloads") for (const name of kind.who.members) pods.add(name);
      else if (kind.who.of === "outside") outside.push([...kind.networks][0]);
      else if (kind.who.own) ownNode = true;
      else for (const name of kind.who.members) nodes.add(name);
    }
    return { pods: [...pods].sort(), nodes: [...nodes].sort(), ownNode, outside };
  }

  /** "every pod in namespace shop", "db/postgres (3 pods)", "anyone outside": one phrase each. @param family of all its members. */
  describe(crowd: Crowd, family: Family): readonly string[] {
    const all = this.#all[family];
    const nodes = nodePhrases(crowd, all);
    const outside = outsidePhrases(crowd.outside, all.outside);
    const others = [...nodes, ...outside];
    const everyNode = crowd.nodes.length === all.nodes.length;
    if (everyNode && outside[0] === everyoneOutside && (all.nodes.length > 0 || crowd.pods.length > 0)) {
      const missing = difference(all.pods, crowd.pods);
      if (missing.length === 0) return ["anyone"];
      const [but, named] = [missing, crowd.pods].map((pods) => this.#podPhrases(pods, all.pods));
      if (but !== undefined && but.length <= (named?.length ?? 0))
        return [`anyone but ${but.join(", ").replaceAll("every pod", "pods")}`];
    }
    return [...this.#podPhrases(crowd.pods, all.pods), ...others];
  }

  #podPhrases(pods: readonly EndpointName[], all: readonly EndpointName[]): readonly string[] {
    if (pods.length === 0) return [];
    if (pods.length === all.length) return ["every pod"];
    const [among, everybody] = [new Set(pods), new Set(all)];
    const spaces = [...Map.groupBy(this.#workloads, ({ namespace }) => namespace)].map(([namespace, workloads]) => {
      const members = workloads.flatMap((workload) => workload.members).filter((name) => everybody.has(name));
      const inside = members.filter((name) => among.has(name));
      return { namespace, workloads, members, inside };
    });
    const touched = spaces.filter(({ inside }) => inside.length > 0);
    const whole = touched.filter(({ inside, members }) => inside.length === members.length);
    const left = spaces.filter(({ inside, members }) => inside.length < members.length);
    if (whole.length === touched.length && whole.length > left.length && left.length <= 3)
      return [`every pod outside of ${namespaceList(left.map(({ namespace }) => namespace))}`];
    return [
      ...(whole.length === 0 ? [] : [`every pod in ${namespaceList(whole.map(({ namespace }) => namespace))}`]),
      ...touched.flatMap((space) => {
        if (whole.includes(space)) return [];
        const missing = space.members.filter((name) => !among.has(name));
        const named = workloadPhrases(space.workloads, among, everybody);
        if (named.length <= 3 || missing.length > space.inside.length) return named;
        const but = workloadPhrases(space.workloads, new Set(missing), everybody);
        return but.length < named.length
          ? [`every pod in ${namespaceList([space.namespace])} but ${but.join(", ")}`]
          : named;
      }),
    ];
  }
}

const everyoneOutside = "anyone outside";

function nodePhrases({ nodes, ownNode }: Crowd, all: Crowd): readonly string[] {
  const own = ownNode ? ["its own node"] : [];
  if (nodes.length === 0) return own;
  if (nodes.length === all.nodes.length) return [ownNode ? "every node" : "other nodes"];
  return [...nodes.map((name) => `node ${name}`), ...own];
}

function outsidePhrases(outside: Crowd["outside"], all: Crowd["outside"]): readonly string[] {
  if (outside.length === 0) return [];
  if (outside.length === all.length) return [everyoneOutside];
  const missing = all.filter((one) => !outside.includes(one));
  if (outside.includes(undefined)) return [`${everyoneOutside} but ${missing.join(", ")}`];
  return outside.map((one) => {
    const holes = missing.filter((hole) => one !== undefined && hole !== undefined && covers(one, hole));
    return holes.length === 0 ? `${one}` : `${one} but ${holes.join(", ")}`;
  });
}

function workloadPhrases(
  workloads: readonly Workload[],
  among: ReadonlySet<EndpointName>,
  all: ReadonlySet<EndpointName>,
): readonly string[] {
  return workloads.flatMap(({ namespace, name, members }) => {
    const own = members.filter((member) => all.has(member));
    const inside = own.filter((member) => among.has(member));
    if (inside.length === 0) return [];
    if (inside.length < own.length || own.length === 1) return inside;
    return [`${namespace}/${name} (${own.length} pods)`];
  });
}

const namespaceList = (names: readonly string[]): string =>
  `${names.length === 1 ? "namespace" : "namespaces"} ${names.join(", ")}`;

function difference<T>(all: readonly T[], some: readonly T[]): readonly T[] {
  const without = new Set(some);
  return all.filter((one) => !without.has(one));
}
