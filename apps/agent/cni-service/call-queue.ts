import type { CniAnswer, CniCall } from "../../../src/rpc/methods.ts";
import type { CniService } from "./cni-service.ts";

interface WaitingDelete {
  readonly call: CniCall;
  readonly netns: number | undefined;
  readonly answer: (answer: CniAnswer) => void;
}

/**
 * Calls, in the order in which they come. DELs wait for the end of this turn of the event loop, and then begin together: at
 * every deletion of devices, of one or of many, the kernel waits for its readers, which is most of a DEL's time when many come
 * at once. Whatever else is called carries them out first.
 */
export class CallQueue {
  readonly #service: Pick<CniService, "handle" | "beginDeletes">;
  #waiting: WaitingDelete[] = [];

  constructor(service: Pick<CniService, "handle" | "beginDeletes">) {
    this.#service = service;
  }

  /** @param netns open until the answer is there. */
  handle(call: CniCall, netns: number | undefined): CniAnswer | Promise<CniAnswer> {
    if (call.variables.CNI_COMMAND === "DEL") return this.#wait(call, netns);
    this.#carryOut();
    return this.#service.handle(call, netns);
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
