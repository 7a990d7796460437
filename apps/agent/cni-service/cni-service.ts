import type { AttachKernel } from "../../../src/attach/attach-kernel.ts";
import { deleteHostDevices } from "../../../src/attach/veth-pair.ts";
import type { Address } from "../../../src/base/address.ts";
import { describeError, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Mac } from "../../../src/base/mac.ts";
import { CniError, cniCodes, formatError } from "../../../src/intent/cni/cni-error.ts";
import {
  type AttachmentConfig,
  type PluginConfig,
  parseEssentials,
  parsePluginConfig,
  requestedAddresses,
  requestedMac,
} from "../../../src/intent/cni/config.ts";
import { type CniEnvironment, parseEnvironment } from "../../../src/intent/cni/environment.ts";
import { formatResult } from "../../../src/intent/cni/result.ts";
import { newestVersion, versionIn } from "../../../src/intent/cni/version.ts";
import type { Assignment } from "../../../src/ipam/address-book.ts";
import { requireNetns } from "../../../src/kernel/netns.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import type { CniAnswer, CniCall } from "../../../src/rpc/methods.ts";
import { readPending, removePending } from "../../cni/pending-deletes.ts";
import { attachmentOf } from "./attachments.ts";
import type { Books } from "./books.ts";
import type { CniContext } from "./context.ts";
import { assignAddresses, podPlan } from "./pod-plan.ts";
import { bridgedMac, encodeRecord, isEnforceable, type PodRecord, recordOf } from "./pod-record.ts";
import { attachedAccordingTo, checkResult, podResult } from "./pod-result.ts";

export interface CniServiceOptions {
  readonly kernel: AttachKernel;
  readonly books: Books;
  readonly context: () => CniContext;
  /** Where plugins leave their DELs while the agent is away (pendingFolder of its socket). */
  readonly pendingFolder: string;
  readonly log: Log;
  /** After a pod came or went. */
  readonly onChange?: () => void;
  readonly listener?: PodListener;
  /** Without it a pod may do anything. */
  readonly policy?: PodGate;
}

/** What must be so before a pod is handed out. */
export interface PodGate {
  /**
   * When this returns, the pod's policy is in force. @param bridged its MAC, when it is on a bridge.
   * @throws TwillError; then the pod is not added.
   */
  added(key: AttachmentKey, pod: PodRecord["pod"], addresses: readonly Address[], bridged?: Mac): void;
  removed(key: AttachmentKey): void;
}

/** Told while the plugin waits for its answer: whoever listens keeps it short. */
export interface PodListener {
  added(key: AttachmentKey, pod: PodRecord["pod"], addresses: readonly Address[]): void;
  removed(key: AttachmentKey): void;
}

type AttachmentCall = Extract<CniEnvironment, { readonly containerId: string }>;

/** Ours: CHECK found the pod's network changed. */
const checkFailed = 120;

/**
 * CNI's commands on this node. Every call is carried out synchronously from beginning to end, so no two can interfere
 * (call-queue.ts lets DELs wait for each other before that).
 *
 * What a crash may interrupt stands on disk before it begins. ADD: the book has the addresses ("adding"), the kernel the
 * interface, the book the record ("ready"). DEL: the kernel loses the interface, the book the addresses. A crash of ADD is taken
 * back by the next start (Pods.sweep), one of DEL by the runtime's repetition, the queue or GC.
 */
export class CniService {
  readonly #options: CniServiceOptions;

  constructor(options: CniServiceOptions) {
    this.#options = options;
  }

  /** @param netns open descriptor of the pod's namespace, the caller's. Never throws: errors are CNI's, as text. */
  handle(call: CniCall, netns: number | undefined): CniAnswer {
    const { log } = this.#options;
    const started = performance.now();
    const said = { command: call.variables.CNI_COMMAND, container: call.variables.CNI_CONTAINERID };
    try {
      const stdout = this.#run(call, netns);
      log.debug("CNI", { ...said, milliseconds: since(started) });
      return { status: 0, stdout };
    } catch (error) {
      log.warn("CNI call failed", { ...said, error });
      return { status: 1, stdout: formatError(error, versionIn(call.config) ?? newestVersion) };
    }
  }

  /**
   * Takes the devices of all these DELs away in one step, as far as possible. `handle` carries each call out as if nothing had been
   * done, and says what is wrong with it.
   */
  beginDeletes(calls: readonly CniCall[]): void {
    this.#beginDetaching(calls.flatMap((call) => keyOfDelete(call) ?? []));
  }

  #beginDetaching(keys: readonly AttachmentKey[]): void {
    if (keys.length < 2) return;
    const { kernel, log } = this.#options;
    const started = performance.now();
    try {
      deleteHostDevices(kernel, keys);
      log.debug("devices deleted together", { pods: keys.length, milliseconds: since(started) });
    } catch (error) {
      log.warn("devices cannot be deleted together; one by one then", { error });
    }
  }

  #run(call: CniCall, netns: number | undefined): string {
    const environment = parseEnvironment(call.variables);
    switch (environment.command) {
      case "ADD":
        return this.#add(environment, parsePluginConfig(call.config, "ADD"), required(netns));
      case "DEL":
        return this.#delete(environment, call.config, usable(netns));
      case "CHECK":
        return this.#check(environment, parsePluginConfig(call.config, "CHECK"), required(netns));
      case "GC":
        return this.#collect(parsePluginConfig(call.config, "GC"));
      case "STATUS":
        parsePluginConfig(call.config, "STATUS");
        return this.#status();
      case "VERSION":
        throw new CniError(cniCodes.invalidEnvironment, "VERSION is answered by the plugin itself");
    }
  }

  #add(environment: AttachmentCall & { readonly netns?: string }, config: PluginConfig, netns: number): string {
    const { kernel, books, onChange } = this.#options;
    // What the runtime deleted while we were away comes first: it may be this very attachment.
    this.drainPending();
    const context = this.#options.context();
    if (config.ipam === undefined) requireReady(context);
    const key = keyOf(environment, config.name);
    requireUnknown(books, key);
    const mac = requestedMac(config, environment.args);
    const wishes = { addresses: requestedAddresses(config, environment.args), mac };
    const assigned = assignAddresses(books, context, key, config, wishes);
    const attachment = attachmentOf(kernel, config.attachment);
    try {
      const plan = podPlan(key, config, assigned, mac, this.#defaultMtu(config.attachment, context));
      const attached = attachment.attach({ ...plan, netns });
      const fixedMtu = config.mtu !== undefined;
      const sendMtu = fixedMtu || config.attachment.type === "macvlan" ? undefined : context.podSendMtu;
      const { podName, podNamespace, podUid } = environment.args;
      const record: PodRecord = {
        attachment: config.attachment,
        plan: sendMtu === undefined ? plan : { ...plan, sendMtu },
        attached,
        netns: environment.netns ?? "",
        fixedMtu,
        pod: {
          ...(podName === undefined ? {} : { podName }),
          ...(podNamespace === undefined ? {} : { podNamespace }),
          ...(podUid === undefined ? {} : { podUid }),
        },
      };
      const addresses = record.plan.addresses.map(({ address }) => address);
      try {
        if (isEnforceable(record)) this.#options.policy?.added(key, record.pod, addresses, bridgedMac(record));
        if (sendMtu !== undefined) attachment.setMtu(key, netns, { device: plan.mtu, sends: sendMtu });
        assigned.book.confirm(key, encodeRecord(record));
      } catch (error) {
        attachment.detach(key, netns);
        this.#options.policy?.removed(key);
        throw error;
      }
      onChange?.();
      this.#options.listener?.added(key, record.pod, addresses);
      return formatResult(podResult(record, config.dns), config.cniVersion);
    } catch (error) {
      assigned.book.cancel(key);
      throw error;
    }
  }

  #defaultMtu(attachment: AttachmentConfig, { podMtu }: CniContext): number {
    if (attachment.type !== "macvlan") return podMtu;
    return this.#options.kernel.node.rtnl.link(attachment.master)?.mtu ?? podMtu;
  }

  /** Succeeds for whatever is gone already. Only the network's name is read of the configuration: the rest may be wrong by now. */
  #delete(environment: AttachmentCall, config: string, netns: number | undefined): string {
    const key = keyOf(environment, parseEssentials(config).name);
    this.#detach(key, netns, () => parsePluginConfig(config, "DEL").attachment);
    return "";
  }

  /** Kernel first: an address whose release fails stays taken; one released too early could be a second pod's. */
  #detach(key: AttachmentKey, netns: number | undefined, configured: () => AttachmentConfig): void {
    const { kernel, books, onChange } = this.#options;
    const book = books.holding(key);
    const attachment = attachmentOf(kernel, attachmentConfig(book?.get(key), configured));
    attachment.detach(key, netns);
    this.#options.policy?.removed(key);
    book?.release(key);
    if (book !== undefined) onChange?.();
    this.#options.listener?.removed(key);
  }

  #check(environment: AttachmentCall, config: PluginConfig, netns: number): string {
    const { kernel, books } = this.#options;
    const key = keyOf(environment, config.name);
    const assignment = books.holding(key)?.get(key);
    if (assignment?.state !== "ready") {
      throw new CniError(checkFailed, "this pod is not known", {
        object: describeKey(key),
        remedy: "delete the pod: its controller makes a new one",
      });
    }
    const record = recordOf(assignment);
    const previous = config.prevResult;
    const attached =
      previous === undefined
        ? record.attached
        : attachedAccordingTo(record.attached, previous, () => this.#mtuInPod(netns, key.ifname));
    const wrong = [
      ...(previous === undefined ? [] : checkResult(record, previous)),
      ...attachmentOf(kernel, record.attachment).check({ ...record.plan, netns }, attached),
    ];
    if (wrong.length === 0) return "";
    throw new CniError(checkFailed, `the pod's network is not as it was made: ${wrong.join("; ")}`, {
      object: describeKey(key),
      remedy: "delete the pod: its controller makes a new one",
    });
  }

  #mtuInPod(netns: number, ifname: string): number | undefined {
    return this.#options.kernel.inPod(netns, (pod) => pod.rtnl.link(ifname)?.mtu);
  }

  /** Whatever of this network the runtime no longer knows goes. Errors do not stop it, and are told together at the end. */
  #collect(config: PluginConfig): string {
    const { books, log } = this.#options;
    this.drainPending();
    const valid = (config.validAttachments ?? []).map((attachment) => ({ ...attachment, network: config.name }));
    const kept = new Set(valid.map(describeKey));
    const errors: string[] = [];
    const attempt = (what: string, work: () => void) => {
      try {
        work();
      } catch (error) {
        errors.push(`${what}: ${describeError(error)}`);
      }
    };
    const gone = books
      .all()
      .flatMap((book) => book.list())
      .map(({ key }) => key)
      .filter((key) => key.network === config.name && !kept.has(describeKey(key)));
    this.#beginDetaching(gone);
    for (const key of gone) {
      log.info("garbage collected", { ...key });
      attempt(describeKey(key), () => this.#detach(key, undefined, () => config.attachment));
    }
    if (errors.length === 0) return "";
    throw new TwillError("io", `${errors.length} could not be collected: ${errors.join("; ")}`, {
      operation: "collect garbage",
      object: config.name,
      remedy: "the runtime's next GC tries again",
    });
  }

  #status(): string {
    const { notReady } = this.#options.context();
    if (notReady === undefined) return "";
    const code = notReady.limited === true ? cniCodes.limitedConnectivity : cniCodes.notAvailable;
    throw new CniError(code, notReady.message, { code: "unavailable", remedy: notReady.remedy });
  }

  /** Carries out what plugins queued while nobody listened. A deletion that fails stays queued. */
  drainPending(): void {
    const { pendingFolder, log } = this.#options;
    const { deletes, unreadable } = readPending(pendingFolder);
    this.beginDeletes(deletes.map(({ call }) => call));
    for (const { name, call } of deletes) {
      // By its path the namespace may be another's by now; without it, what dies with the namespace is left to that.
      const variables = { ...call.variables, CNI_COMMAND: "DEL", CNI_NETNS: "" };
      const answer = this.handle({ ...call, variables }, undefined);
      if (answer.status === 0) removePending(pendingFolder, name);
    }
    for (const name of unreadable) {
      log.warn("a queued DEL cannot be read and is dropped; the runtime's GC will find the pod", { name });
      removePending(pendingFolder, name);
    }
  }
}

const since = (started: number): number => Math.round((performance.now() - started) * 100) / 100;

/** As it was attached; else as the configuration says; else as is usual. */
function attachmentConfig(assignment: Assignment | undefined, configured: () => AttachmentConfig): AttachmentConfig {
  try {
    return assignment?.state === "ready" ? recordOf(assignment).attachment : configured();
  } catch {
    return { type: "routed" };
  }
}

/** undefined for a call that is wrong. */
function keyOfDelete({ variables, config }: CniCall): AttachmentKey | undefined {
  try {
    const environment = parseEnvironment(variables);
    return environment.command === "DEL" ? keyOf(environment, parseEssentials(config).name) : undefined;
  } catch {
    return undefined;
  }
}

const keyOf = ({ containerId, ifname }: AttachmentCall, network: string): AttachmentKey => ({
  network,
  containerId,
  ifname,
});

const describeKey = ({ network, containerId, ifname }: AttachmentKey): string =>
  `${ifname} of container ${containerId} in network ${network}`;

const namespaceDetails = {
  operation: "open",
  object: "CNI_NETNS",
  remedy: "the runtime must make the namespace before it calls the plugin",
};

function required(netns: number | undefined): number {
  if (netns === undefined) {
    throw new CniError(cniCodes.invalidEnvironment, "there is no such file", namespaceDetails);
  }
  try {
    requireNetns(netns, "CNI_NETNS");
  } catch (cause) {
    throw new CniError(cniCodes.invalidEnvironment, "it is not a network namespace", { ...namespaceDetails, cause });
  }
  return netns;
}

/** A runtime may have unmounted the namespace before DEL and left the empty file: then it is gone. */
function usable(netns: number | undefined): number | undefined {
  try {
    return netns === undefined ? undefined : required(netns);
  } catch {
    return undefined;
  }
}

function requireReady({ notReady, subnets }: CniContext): void {
  if (notReady === undefined && subnets.length > 0) return;
  throw new CniError(cniCodes.tryAgainLater, notReady?.message ?? "this node has no subnet yet", {
    code: "unavailable",
    remedy: notReady?.remedy ?? "the agent is still claiming one; the runtime tries again",
  });
}

function requireUnknown(books: Books, key: AttachmentKey): void {
  if (books.holding(key)?.get(key)?.state !== "ready") return;
  throw new TwillError("exists", "this attachment has been added already", {
    operation: "add",
    object: describeKey(key),
    remedy: "call DEL first",
  });
}
