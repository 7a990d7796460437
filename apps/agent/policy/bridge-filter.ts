import { describeError } from "../../../src/base/errors.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Sysctls } from "../../../src/kernel/sysctl.ts";

const settings = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] as const;
const consequence = "what pods on one bridge send each other is not judged by policy";

/**
 * Frames between two ports of a bridge pass the hooks of IP only with br_netfilter (and its settings, one a network namespace).
 * Kubernetes asks for it anyway; it is switched on as soon as there is a policy.
 */
export class BridgeFilter {
  readonly #sysctls: Pick<Sysctls, "tryRead" | "write">;
  #problem: Problem | undefined;

  constructor(sysctls: Pick<Sysctls, "tryRead" | "write">) {
    this.#sysctls = sysctls;
  }

  get problems(): readonly Problem[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** Called with each change of policy: two small reads. Never throws: what else policy judges is judged. */
  filter(): void {
    try {
      for (const name of settings) {
        const path = ["bridge", name];
        const value = this.#sysctls.tryRead(path);
        if (value === undefined) throw new Error("the kernel module br_netfilter is not loaded");
        if (value !== "1") this.#sysctls.write(path, "1");
      }
      this.#problem = undefined;
    } catch (error) {
      this.#problem = {
        severity: "error",
        subject: "br_netfilter",
        reason: "BridgeNotFiltered",
        message: `${describeError(error)}; ${consequence}`,
        remedy:
          "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
      };
    }
  }
}
