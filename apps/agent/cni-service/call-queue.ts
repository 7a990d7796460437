import { CniError, cniCodes, formatError } from "../../../src/intent/cni/cni-error.ts";
import { newestVersion, versionIn } from "../../../src/intent/cni/version.ts";
import type { CniAnswer, CniCall } from "../../../src/rpc/methods.ts";
import type { CniService } from "./cni-service.ts";

interface WaitingDelete {
  readonly call: CniCall;
  readonly netns: number | undefined;
  readonly answer: (answer: CniAnswer) => void;
}

export type Prepare = (call: CniCall) => Promise<void> | undefined;

/**
 * Calls, in the order in which they come. DELs wait for the end of this turn of the event loop, and then begin together: at
 * every deletion of devices, of one or of many, the kernel waits for its readers, which is most of a DEL's time when many come
 * at once. Whatever else is called carries them out first.
 */
export class CallQueue {
  readonly #service: Pick<CniService, "handle" | "beginDeletes">;
  readonly #prepare: Prepare;
  /** By container: ADDs that are being prepared, and whether their pod was deleted meanwhile. */
  readonly #preparing = new Map<string, { deleted: boolean }>();
  #waiting: WaitingDelete[] = [];

  /** @param prepare what an ADD waits for before it begins; undefined: nothing. */
  constructor(service: Pick<CniService, "handle" | "beginDeletes">, prepare: Prepare = () => undefined) {
    this.#service = service;
    this.#prepare = prepare;
  }

  /** @param netns open until the answer is there. */
  handle(call: CniCall, netns: number | undefined): CniAnswer | Promise<CniAnswer> {
    const { CNI_COMMAND: command, CNI_CONTAINERID: container = "" } = call.variables;
    if (command === "DEL") {
      const add = this.#preparing.get(container);
      if (add !== undefined) add.deleted = true;
      return this.#wait(call, netns);
    }
    const prepared = command === "ADD" ? this.#prepare(call) : undefined;
    if (prepared !== undefined) return this.#addPrepared(call, netns, container, prepared);
    this.#carryOut();
    return this.#service.handle(call, netns);
  }

  /** A runtime that lost patience deletes the pod, and makes another try under another container: this one must not come after. */
  async #addPrepared(
    call: CniCall,
    netns: number | undefined,
    container: string,
    prepared: Promise<void>,
  ): Promise<CniAnswer> {
    const add = this.#preparing.get(container) ?? { deleted: false };
    this.#preparing.set(container, add);
    await prepared;
    if (this.#preparing.get(container) === add) this.#preparing.delete(container);
    this.#carryOut();
    if (!add.deleted) return this.#service.handle(call, netns);
    const error = new CniError(cniCodes.tryAgainLater, "the pod was deleted while it was being added", {
      code: "unavailable",
      remedy: "nothing: the runtime does not want it any more",
    });
    return { status: 1, stdout: formatError(error, versionIn(call.config) ?? newestVersion) };
  }

  #wait(call: CniCall, netns: number | undefined): Promise<CniAnswer> {
    const { promise, resolve } = Promise.withResolvers<CniAnswer>();
    // Behind all that the poller reports at once (src/kernel/poller.ts), and before anything else.
    if (this.#waiting.length === 0) queueMicrotask(() => this.#carryOut());
    this.#waiting.push({ call, netns, answer: resolve });
    return promise;
  }

  #carryOut(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length > 1) this.#service.beginDeletes(waiting.map(({ call }) => call));
    for (const { call, netns, answer } of waiting) answer(this.#service.handle(call, netns));
  }
}
