import { isCode } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { KubernetesObject } from "./object.ts";
import { isAmbiguous } from "./transport.ts";

/**
 * Carried by what we write, another one each time. It tells, when the answer to a write was lost, whether the write
 * happened; and makes a write that changes nothing else a new resource version, which an API server would not give it.
 */
export const WRITE = "twill.dev/write";

export const newWriteId = (random: Random): string => random.bytes(12).toHex();
export const hasWriteId = (object: KubernetesObject | undefined, id: string): boolean =>
  object?.metadata.annotations?.[WRITE] === id;

const ATTEMPTS = 3;

/**
 * Carries a write out once, also when its answer is lost. `landed`: what the write made, if it is found to have happened;
 * `unsure`: an answer was lost, as far as we know. Bun's fetch (1.4) does not tell all: it repeats a request by itself
 * when a connection that it kept breaks under it, and what we are told is what the second one met: "exists" or
 * "conflict". @throws TwillError as `attempt` does.
 */
export async function writeOnce<T>(
  attempt: () => Promise<T>,
  landed: (unsure: boolean) => Promise<T | undefined>,
): Promise<T> {
  let unsure = false;
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      const lost = isAmbiguous(error);
      unsure ||= lost;
      const settled = isCode(error, "exists") || isCode(error, "conflict") || isCode(error, "not-found");
      if (!lost && !settled) throw error;
      const found = await landed(unsure).catch(() => {
        throw error;
      });
      if (found !== undefined) return found;
      if (!lost || attempts === ATTEMPTS) throw error;
    }
  }
}
