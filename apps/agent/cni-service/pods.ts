import type { AttachKernel } from "../../../src/attach/attach-kernel.ts";
import type { AttachedPod, AttachPlan, PodMtu } from "../../../src/attach/attachment.ts";
import { hostDeviceName, twillAlias } from "../../../src/attach/host-device.ts";
import type { Address } from "../../../src/base/address.ts";
import { describeError, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Mac } from "../../../src/base/mac.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { PodPlace } from "../../../src/insight/node-view.ts";
import type { AttachmentConfig } from "../../../src/intent/cni/config.ts";
import type { Assignment } from "../../../src/ipam/address-book.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { openNetns } from "../../../src/kernel/netns.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import { attachmentOf } from "./attachments.ts";
import type { Books } from "./books.ts";
import { encodeRecord, type PodRecord, placeOf, recordOf } from "./pod-record.ts";
import { vanishedPods } from "./vanished.ts";

/** A pod's interface, for people. */
export interface EndpointInfo {
  readonly key: AttachmentKey;
  readonly state: "adding" | "ready";
  readonly podNamespace?: string;
  readonly podName?: string;
  readonly podUid?: string;
  readonly addresses: readonly Address[];
  readonly attachment?: string;
  readonly hostDevice?: string;
  readonly mac?: Mac;
  readonly mtu?: number;
}

/** The pods of this node beyond single calls: what is listed, mended and changed for all. */
export class Pods {
  readonly #kernel: AttachKernel;
  readonly #books: Books;
  readonly #log: Log;
  readonly #onGone: (key: AttachmentKey) => void;
  /** ADDs that a crash interrupted, and that are not taken back yet. */
  #interrupted: readonly AttachmentKey[] = [];
  #unreleased: Problem[] = [];
  #unmended: readonly Problem[] = [];
  #unchanged: readonly Problem[] = [];

  /** @param onGone a pod is gone without a DEL. */
  constructor(kernel: AttachKernel, books: Books, log: Log, onGone: (key: AttachmentKey) => void = () => {}) {
    this.#kernel = kernel;
    this.#books = books;
    this.#log = log;
    this.#onGone = onGone;
  }

  /** Found by the last `sweep`, `repair` or `setMtu`. */
  get problems(): readonly Problem[] {
    return [...this.#unreleased, ...this.#unmended, ...this.#unchanged];
  }

  endpoints(): EndpointInfo[] {
    return this.#assignments().map((assignment) => {
      const { key, state, addresses } = assignment;
      if (state === "adding") return { key, state, addresses };
      const { pod, attached, attachment } = recordOf(assignment);
      const { mac, mtu } = attached.pod;
      const hostDevice = attached.host === undefined ? {} : { hostDevice: attached.host.name };
      return { key, state, ...pod, addresses, attachment: attachment.type, ...hostDevice, mac, mtu };
    });
  }

  /** Pods that are attached, and where to look into them. */
  places(): PodPlace[] {
    return this.#records().map(placeOf);
  }

  /**
   * After a start: an attachment whose ADD a crash interrupted is taken back, whatever had been made of it. Its record was on
   * disk before the kernel heard of it, so there is nothing else to look for. What a full disk keeps is taken back by `repair`.
   */
  sweep(): void {
    this.#interrupted = this.#adding();
    this.#takeBack();
  }

  #adding(): readonly AttachmentKey[] {
    return this.#assignments()
      .filter(({ state }) => state === "adding")
      .map(({ key }) => key);
  }

  #takeBack(): void {
    if (this.#interrupted.length === 0) return;
    const adding = new Set(this.#adding().map(hostDeviceName));
    this.#interrupted = this.#interrupted.filter((key) => {
      if (!adding.has(hostDeviceName(key))) return false;
      this.#log.warn("an interrupted ADD is taken back", { ...key });
      // Host ends of every attachment bear the same name; a macvlan dies with its namespace, or by the runtime's DEL.
      attachmentOf(this.#kernel, { type: "routed" }).detach(key, undefined);
      return !this.#release(key);
    });
  }

  /** @returns whether its addresses are free. If not, they stay taken, a problem says why, and `repair` tries again. */
  #release(key: AttachmentKey): boolean {
    try {
      this.#books.holding(key)?.release(key);
      return true;
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      this.#unreleased.push(unreleased(key, error));
      return false;
    }
  }

  /** Frees the addresses of pods that are gone without a DEL. */
  #releaseVanished(): void {
    for (const { attachment, plan, attached, pod } of vanishedPods(this.#kernel.node.rtnl, this.#records())) {
      const { key } = plan;
      this.#log.warn("a pod is gone without a DEL: its addresses are free", {
        ...key,
        ...pod,
        device: attached.host?.name,
      });
      attachmentOf(this.#kernel, attachment).detach(key, undefined);
      this.#onGone(key);
      this.#release(key);
    }
  }

  /** Mends the node's side of all pods. Writes nothing when nothing is wrong. @returns what was mended, each a sentence. */
  repair(): readonly string[] {
    this.#unreleased = [];
    this.#takeBack();
    this.#releaseVanished();
    const problems: Problem[] = [...this.#strangers()];
    const mended: string[] = [];
    const records = this.#records();
    const groups = Map.groupBy(records, ({ attachment }) => JSON.stringify(attachment));
    for (const group of groups.values()) {
      const [first] = group;
      if (first === undefined) continue;
      const pods = group.map(({ plan, attached }): AttachedPod => ({ plan, attached }));
      try {
        const repair = attachmentOf(this.#kernel, first.attachment).repair(pods);
        mended.push(...repair.mended);
        problems.push(...repair.broken.map(({ key, reason }) => brokenPod(records, key, reason)));
      } catch (error) {
        problems.push(unmended(first.attachment.type, error));
      }
    }
    mended.push(...this.#removeUnusedBridges(records));
    for (const sentence of mended) this.#log.warn("mended", { what: sentence });
    this.#unmended = problems;
    return mended;
  }

  /** What a configuration without bridges, or with another one, leaves. */
  #removeUnusedBridges(records: readonly PodRecord[]): readonly string[] {
    const used = new Set(
      records.map(({ attachment }) => (attachment.type === "bridge" ? attachment.bridge : undefined)),
    );
    return this.#kernel.node.rtnl
      .links()
      .filter(({ kind, alias, name }) => kind.type === "bridge" && alias === twillAlias && !used.has(name))
      .flatMap(({ name }) => {
        const unused: AttachmentConfig = { type: "bridge", bridge: name, hairpinMode: false };
        return attachmentOf(this.#kernel, unused).repair([]).mended;
      });
  }

  /** Both ends of every pod whose configuration does not fix the MTU. @returns how many changed. */
  setMtu(mtu: PodMtu): number {
    const problems: Problem[] = [];
    let changed = 0;
    for (const book of this.#books.all()) {
      for (const assignment of book.list()) {
        if (assignment.state !== "ready") continue;
        const record = recordOf(assignment);
        if (record.fixedMtu || record.attachment.type === "macvlan" || hasMtu(record.plan, mtu)) continue;
        try {
          this.#setMtu(record, mtu);
          book.confirm(assignment.key, encodeRecord(withMtu(record, mtu)));
          changed++;
        } catch (error) {
          problems.push(
            brokenPod([record], assignment.key, `its MTU stays ${record.plan.mtu}: ${describeError(error)}`),
          );
        }
      }
    }
    this.#unchanged = problems;
    return changed;
  }

  #setMtu({ attachment, plan, netns }: PodRecord, mtu: PodMtu): void {
    const fd = openNetns(netns);
    try {
      attachmentOf(this.#kernel, attachment).setMtu(plan.key, fd, mtu);
    } finally {
      closeFile(fd);
    }
  }

  /** Devices that look like ours and are in no book: a lost book. They are left alone, for pods may be living on them. */
  #strangers(): Problem[] {
    const known = this.#assignments().map(({ key }) => key);
    return attachmentOf(this.#kernel, { type: "routed" })
      .strays(known)
      .map((subject) => ({
        severity: "warning",
        subject,
        message: "this device belongs to no pod that the agent knows",
        remedy: "if its pod still runs, delete the pod; the runtime's next GC removes what is left",
      }));
  }

  #assignments(): Assignment[] {
    return this.#books.all().flatMap((book) => book.list());
  }

  /** Of all that were added and not deleted. */
  records(): readonly PodRecord[] {
    return this.#records();
  }

  #records(): PodRecord[] {
    return this.#assignments()
      .filter(({ state }) => state === "ready")
      .map(recordOf);
  }
}

const hasMtu = (plan: AttachPlan, { device, sends }: PodMtu): boolean => plan.mtu === device && plan.sendMtu === sends;

function withMtu(record: PodRecord, { device: mtu, sends }: PodMtu): PodRecord {
  const { host, pod } = record.attached;
  const attached = {
    ...record.attached,
    pod: { ...pod, mtu },
    ...(host === undefined ? {} : { host: { ...host, mtu } }),
  };
  const { sendMtu: _, ...plan } = record.plan;
  return { ...record, plan: { ...plan, mtu, ...(sends === undefined ? {} : { sendMtu: sends }) }, attached };
}

function brokenPod(records: readonly PodRecord[], key: AttachmentKey, message: string): Problem {
  const device = hostDeviceName(key);
  const record = records.find(({ plan }) => hostDeviceName(plan.key) === device);
  const { podNamespace, podName } = record?.pod ?? {};
  const subject =
    podName === undefined ? `container ${key.containerId}` : `pod ${podNamespace ?? "default"}/${podName}`;
  return { severity: "error", subject, message, remedy: "delete the pod: its controller makes a new one" };
}

const unreleased = (key: AttachmentKey, error: TwillError): Problem => ({
  severity: "error",
  subject: `container ${key.containerId}`,
  message: `it is gone, and its addresses cannot be given out again: ${error.message}`,
  remedy: error.remedy ?? "see the message; the agent tries again every minute",
});

const unmended = (type: string, error: unknown): Problem => ({
  severity: "error",
  subject: `attachment ${type}`,
  message: describeError(error),
  remedy: "see the message; the agent tries again with the next change of a device",
});
