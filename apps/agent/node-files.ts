import { join } from "node:path";
import type { Family } from "../../src/base/address.ts";
import { isCode } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import { prefixFamily } from "../../src/base/prefix.ts";
import type { Problem } from "../../src/base/problem.ts";
import { formatSubnetEnv } from "../../src/intent/flannel/subnet-env.ts";
import type { ClusterNetwork } from "../../src/model/network.ts";
import type { OwnState } from "../../src/model/node-state.ts";
import { rangeOf } from "../../src/model/ranges.ts";
import { conflist, conflistName } from "./conflist.ts";
import { writeIfChanged } from "./files.ts";
import type { AgentOptions } from "./options.ts";
import { problemOf } from "./problem-of.ts";

/** The files by which the node's network is known to others. What cannot be written (a full disk) is said, and stops nothing. */
export class NodeFiles {
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #problems = new Map<string, Problem>();

  constructor(options: AgentOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  get problems(): readonly Problem[] {
    return [...this.#problems.values()];
  }

  writeSubnetEnv(network: ClusterNetwork, state: OwnState): void {
    const { subnetFile, ipMasq } = this.#options;
    const [ipv4, ipv6] = [subnetOf(network, 4, state), subnetOf(network, 6, state)];
    const text = formatSubnetEnv({
      ...(ipv4 === undefined ? {} : { ipv4 }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      mtu: state.podMtu,
      masquerade: ipMasq,
    });
    this.attempt(subnetFile, () => writeIfChanged(subnetFile, text));
  }

  /** From now on the container runtime calls our plugin. */
  installConflist(): void {
    const path = join(this.#options.cniConfDir, conflistName);
    this.attempt(path, () => {
      if (writeIfChanged(path, conflist(this.#options))) this.#log.info("the CNI configuration is installed", { path });
    });
  }

  attempt(path: string, write: () => void): void {
    try {
      write();
      this.#problems.delete(path);
    } catch (error) {
      if (!isCode(error, "io")) throw error;
      if (!this.#problems.has(path)) this.#log.error("a file could not be written", { error });
      this.#problems.set(path, problemOf(path, error));
    }
  }
}

/** The first is the one of which new pods get their addresses. */
function subnetOf(network: ClusterNetwork, family: Family, { subnets }: OwnState) {
  const subnet = subnets.find((candidate) => prefixFamily(candidate) === family);
  const range = subnet && rangeOf(network, subnet);
  return range === undefined || subnet === undefined ? undefined : { network: range.network, subnet };
}
