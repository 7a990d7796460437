import type { Family } from "../../src/base/address.ts";
import { isCode, type TwillError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { RtnlEvent } from "../../src/kernel/rtnl.ts";
import type { Underlay } from "../../src/model/node.ts";
import { mainTable, TWILL_POD_ROUTE_PROTOCOL, TWILL_ROUTE_PROTOCOL } from "../../src/objects/route.ts";
import { findUnderlay, sameUnderlay, type UnderlayKernel, type UnderlayOptions } from "./underlay.ts";

/** The underlay as last found: looked for again when the kernel says that something about it may have changed. */
export class UnderlayFinder {
  readonly #kernel: UnderlayKernel;
  readonly #options: UnderlayOptions;
  readonly #log: Log;
  #found: Underlay | undefined;
  #error: TwillError | undefined;
  /** What `#found` was found for; undefined: look again. */
  #families: string | undefined;

  constructor(kernel: UnderlayKernel, options: UnderlayOptions, log: Log) {
    this.#kernel = kernel;
    this.#options = options;
    this.#log = log;
  }

  /** Why the newest look found nothing. What was found before stays in force. */
  get error(): TwillError | undefined {
    return this.#error;
  }

  get found(): Underlay | undefined {
    return this.#found;
  }

  /** @returns true when the next `find` looks again. */
  onEvent(event: RtnlEvent): boolean {
    if (!concernsUnderlay(event)) return false;
    this.#families = undefined;
    return true;
  }

  find(families: readonly Family[]): Underlay | undefined {
    if (this.#families === families.join()) return this.#found;
    this.#families = families.join();
    try {
      const found = findUnderlay(this.#kernel, this.#options, families);
      const { device, mtu, ipv4, ipv6 } = found;
      if (!sameUnderlay(found, this.#found)) this.#log.info("underlay", { device, mtu, ipv4, ipv6 });
      this.#found = found;
      this.#error = undefined;
    } catch (error) {
      if (!isCode(error, "unavailable")) throw error;
      // A flapping link must not take the tunnels down with it.
      if (this.#error?.message !== error.message) this.#log.warn("no usable underlay", { error });
      this.#error = error;
    }
    return this.#found;
  }
}

/** Pods' interfaces and our own routes come and go all the time, and change nothing about how other nodes are reached. */
function concernsUnderlay(event: RtnlEvent): boolean {
  switch (event.type) {
    case "link":
      return !event.link.name.startsWith("twl") && event.link.alias !== "twill";
    case "route":
      return (
        event.route.table === mainTable &&
        ![TWILL_ROUTE_PROTOCOL, TWILL_POD_ROUTE_PROTOCOL].includes(event.route.protocol)
      );
    default:
      return event.type === "address" || event.type === "overrun";
  }
}
