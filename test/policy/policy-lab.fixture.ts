import { objectName } from "../../apps/kinds.ts";
import type { Address } from "../../src/base/address.ts";
import { openDatastore } from "../../src/store/open.ts";
import { FaultLab, type FaultLabOptions, until } from "../faults/fault-lab.fixture.ts";

/** What became of a first packet: an answer, a refusal (an answer, too), or silence. */
export type Reached = "answer" | "refusal" | "silence";

/** A cluster, its objects, and who reaches whom in it. */
export class PolicyLab implements AsyncDisposable {
  readonly lab: FaultLab;
  readonly #addresses = new Map<string, readonly Address[]>();

  private constructor(lab: FaultLab) {
    this.lab = lab;
  }

  static async up(options: FaultLabOptions): Promise<PolicyLab> {
    const lab = new PolicyLab(await FaultLab.up(options));
    const { view } = await lab.lab.call("status", null);
    for (const { nodes } of view.subnets)
      for (const node of nodes)
        for (const pod of node.pods) lab.#addresses.set(`${node.name}/${pod.name}`, pod.addresses);
    return lab;
  }

  /** @returns how the lab calls it: "node1/shop/web". */
  async run(node: string, namespace: string, pod: string, labels: Record<string, string>): Promise<string> {
    const added = await this.lab.call("addPod", { node, namespace, pod, labels, unique: true });
    const name = `${added.node}/${added.pod}`;
    this.#addresses.set(name, added.addresses);
    return name;
  }

  async end(name: string): Promise<void> {
    const [node = "", ...pod] = name.split("/");
    await this.lab.call("deletePod", { node, pod: pod.join("/") });
  }

  address(name: string): string {
    const address = this.#addresses.get(name)?.[0];
    if (address === undefined) throw new Error(`${name} has no address`);
    return address;
  }

  /** One new connection to the web server of a pod, or to another address. */
  async reach(from: string, to: string, port = 8080): Promise<Reached> {
    const target = this.#addresses.has(to) ? this.address(to) : to;
    const { status } = await this.lab.attempt(from, `curl -s -o /dev/null -m 1 http://${target}:${port}/`);
    if (status === 0) return "answer";
    return status === 7 ? "refusal" : "silence";
  }

  /** As it becomes, for datastore and agents take a moment. */
  async becomes(from: string, to: string, expected: Reached, port = 8080): Promise<void> {
    let last: Reached | undefined;
    await until(
      async () => {
        last = await this.reach(from, to, port);
        return last === expected;
      },
      () => `${from} → ${to}:${port}: ${last} instead of ${expected}`,
      30_000,
    );
  }

  /** Into the datastore as it is, whatever is wrong with it. Undefined: deleted. */
  async put(kind: string, name: string, object: object | undefined): Promise<void> {
    const store = await openDatastore(this.lab.datastore);
    try {
      const before = await store.get(kind, name);
      const value = new TextEncoder().encode(JSON.stringify(object));
      if (object === undefined) return void (before && (await store.delete(kind, name)));
      if (before === undefined) await store.create(kind, name, value);
      else await store.update(kind, name, value, before.revision);
    } finally {
      await store.close();
    }
  }

  /** A NetworkPolicy. Undefined: deleted. */
  policy(namespace: string, name: string, spec: object | undefined): Promise<void> {
    const metadata = { namespace, name };
    const object = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
    return this.put("networkpolicies", objectName(namespace, name), spec && object);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.lab[Symbol.asyncDispose]();
  }
}
