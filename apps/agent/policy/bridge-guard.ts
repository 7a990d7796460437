import { NftTableKeeper } from "../../../src/apply/nft-table.ts";
import { hostDeviceName } from "../../../src/attach/host-device.ts";
import type { Address } from "../../../src/base/address.ts";
import { describeError, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Mac } from "../../../src/base/mac.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Nft } from "../../../src/kernel/nft.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import { elementKey } from "../../../src/objects/nft.ts";
import {
  type BridgePod,
  bridgeElements,
  bridgeTable,
  bridgeTableName,
} from "../../../src/render/policy/bridge-table.ts";

/** What failed is tried again, and a table that others can change is looked at, so often. */
const lookMs = 1_000;

/**
 * With pods on a bridge: frames with others' addresses are dropped as long as there is policy, as forged packets of routed pods are.
 * A pod's rows are there before its ADD is answered, for a port without any may send nothing.
 */
export class BridgeGuard {
  readonly #keeper: NftTableKeeper;
  readonly #log: Log;
  readonly #podInterfaces: string;
  readonly #pods = new Map<string, BridgePod>();
  #wanted = false;
  /** The table stands as wanted, but for what others may have done. */
  #stands = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #problem: Problem | undefined;

  /** @param options.podInterfaces how our pods' ports begin. */
  constructor({ nft, log, podInterfaces }: { readonly nft: Nft; readonly log: Log; readonly podInterfaces: string }) {
    this.#keeper = keeperOf(nft, log);
    this.#log = log;
    this.#podInterfaces = podInterfaces;
  }

  get problems(): readonly Problem[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** @throws TwillError when the pod could send nothing. */
  put(key: AttachmentKey, mac: Mac, addresses: readonly Address[]): void {
    const pod = { port: hostDeviceName(key), mac, addresses };
    this.#pods.set(pod.port, pod);
    if (this.#stands && this.#wanted)
      this.#keeper.patch(bridgeElements([pod]).map(({ set, elements }) => ({ set, put: elements })));
  }

  /** Never throws: the rows of a port that is gone let nobody pass, and the next change of the table takes them along. */
  remove(key: AttachmentKey): void {
    const port = hostDeviceName(key);
    const pod = this.#pods.get(port);
    if (!this.#pods.delete(port) || pod === undefined || !this.#stands || !this.#wanted) return;
    try {
      this.#keeper.patch(bridgeElements([pod]).map(({ set, elements }) => ({ set, remove: elements.map(elementKey) })));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Never throws: the rest of policy does not wait for it. @param wanted there is policy. */
  enforce(wanted: boolean): void {
    if (this.#stands && wanted === this.#wanted) return;
    this.#wanted = wanted;
    try {
      if (wanted) this.#keeper.apply(bridgeTable([...this.#pods.values()], this.#podInterfaces));
      else this.#keeper.remove();
      this.#stands = true;
      this.#problem = undefined;
      this.#lookAgain(wanted && !this.#keeper.owned);
    } catch (error) {
      this.#failed(error);
    }
  }

  stop(): void {
    this.#lookAgain(false);
  }

  #failed(error: unknown): void {
    if (!(error instanceof TwillError)) throw error;
    const message = `frames with others' addresses are not dropped: ${describeError(error)}`;
    if (this.#problem?.message !== message) this.#log.error(message);
    this.#problem = {
      severity: "error",
      subject: `nf_tables table ${bridgeTableName.family} ${bridgeTableName.table}`,
      reason: "BridgeNotGuarded",
      message,
      remedy: error.remedy ?? "modprobe nf_tables_bridge, or use --attachment=routed; the agent tries again by itself",
    };
    this.#stands = false;
    this.#lookAgain(true);
  }

  #lookAgain(needed: boolean): void {
    if (needed) this.#timer ??= setInterval(() => this.#look(), lookMs);
    else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #look(): void {
    try {
      if (!this.#stands) this.enforce(this.#wanted);
      else if (this.#keeper.changedByOthers()) this.#keeper.reapply();
    } catch (error) {
      this.#failed(error);
    }
  }
}

const keeperOf = (nft: Nft, log: Log): NftTableKeeper =>
  new NftTableKeeper({ nft, log, family: bridgeTableName.family, name: bridgeTableName.table });

/** Nobody says any more whose ports are whose: what an agent before this one left would cut new pods off. */
export function removeBridgeGuard(nft: Nft, log: Log): void {
  try {
    keeperOf(nft, log).remove();
  } catch (error) {
    log.warn("the table against forged frames cannot be removed", { error: describeError(error) });
  }
}
