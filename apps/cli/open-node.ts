import { isCode } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import { procSysNet } from "../../src/kernel/sysctl.ts";
import { legacyAsker } from "./dead-agent.ts";
import { agentAsker } from "./look-asker.ts";

export interface Opened {
  readonly asker: Asker;
  /** Why the agent is not who answers. */
  readonly away?: string;
}

/** Asks this node's agent; where it is dead, this program looks itself, by what the agent left. @throws TwillError. */
export function openNode({ runDir, stateDir }: { readonly runDir: string; readonly stateDir: string }): Opened {
  try {
    return { asker: agentAsker(runDir) };
  } catch (error) {
    if (!isCode(error, "unavailable")) throw error;
    return { asker: legacyAsker(stateDir, procSysNet).asker, away: error.message };
  }
}
