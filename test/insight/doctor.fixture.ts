import type { Diagnosis } from "../../apps/cli/doctor-command.ts";
import { FaultLab, type FaultLabOptions } from "../faults/fault-lab.fixture.ts";

/** A cluster, what of it a script may want to break, and its doctor. */
export class Patient implements AsyncDisposable {
  readonly lab: FaultLab;
  readonly #addresses: ReadonlyMap<string, readonly string[]>;
  readonly #subnets: ReadonlyMap<string, readonly string[]>;

  private constructor(
    lab: FaultLab,
    addresses: Map<string, readonly string[]>,
    subnets: Map<string, readonly string[]>,
  ) {
    this.lab = lab;
    this.#addresses = addresses;
    this.#subnets = subnets;
  }

  static async up(options: FaultLabOptions): Promise<Patient> {
    const lab = await FaultLab.up(options);
    const { view } = await lab.call("status", null);
    const nodes = view.subnets.flatMap((subnet) => subnet.nodes);
    const pods = nodes.flatMap((node) => node.pods.map((pod) => [`${node.name}/${pod.name}`, pod.addresses] as const));
    const subnets = nodes.map((node) => [node.name, node.podSubnets] as const);
    return new Patient(lab, new Map(pods), new Map(subnets));
  }

  pod(name: string): string {
    return this.#addresses.get(name)?.[0] ?? "";
  }
  subnet(node: string): string {
    return this.#subnets.get(node)?.[0] ?? "";
  }

  async doctor(node: string, ...flags: string[]): Promise<Diagnosis> {
    const { stdout, stderr } = await this.lab.attempt(node, `twill doctor -o json ${flags.join(" ")}`);
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout) as Diagnosis;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.lab[Symbol.asyncDispose]();
  }
}

/** "node1 forwarding", one a finding. */
export const found = ({ findings }: Diagnosis): string[] => findings.map(({ node, id }) => `${node} ${id}`).sort();

export const told = (diagnosis: Diagnosis): string => JSON.stringify(diagnosis, null, 1);
