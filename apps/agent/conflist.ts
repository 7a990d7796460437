import { TwillError } from "../../src/base/errors.ts";
import { agentSocket, defaultRunDir } from "../defaults.ts";
import type { AgentOptions } from "./options.ts";

export const conflistName = "10-twill.conflist";

/** Plugins that may run after ours, with what they need to be told (CNI conventions: capabilities). */
const chained: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  portmap: { type: "portmap", capabilities: { portMappings: true } },
  bandwidth: { type: "bandwidth", capabilities: { bandwidth: true } },
  tuning: { type: "tuning" },
};

export const chainable = Object.keys(chained);

/**
 * The CNI configuration that kubelet's runtime reads. With plugins chained after ours it is of version 1.0.0 unless told
 * otherwise, because Debian's (containernetworking-plugins 1.1.1) refuse 1.1.0; runtimes then call neither GC nor STATUS.
 */
export function conflist(options: Pick<AgentOptions, "attachment" | "cniChain" | "cniVersion" | "runDir">): string {
  const after = options.cniChain.map((name) => {
    const plugin = chained[name];
    if (plugin === undefined) {
      throw new TwillError("invalid", `--cni-chain: "${name}" is not known`, { remedy: `use ${chainable.join(", ")}` });
    }
    return plugin;
  });
  const own = {
    type: "twill-cni",
    capabilities: { ips: true, mac: true },
    ...(options.attachment === "bridge" && { attachment: "bridge", hairpinMode: true }),
    ...(options.runDir === defaultRunDir ? {} : { socket: agentSocket(options.runDir) }),
  };
  const usual = after.length > 0 ? "1.0.0" : "1.1.0";
  const cniVersion = options.cniVersion === "auto" ? usual : options.cniVersion;
  return `${JSON.stringify({ cniVersion, name: "twill", plugins: [own, ...after] }, null, 2)}\n`;
}
