import type { Address } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { describeError, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { Random } from "../../../src/base/random.ts";
import type { HeldPolicy } from "../../../src/compile/policy/compiler.ts";
import { PolicyCompiler } from "../../../src/compile/policy/compiler.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import type { EndpointName, PolicyModel, PolicyNode } from "../../../src/model/policy.ts";
import type { PolicyChange, PolicyState } from "../../../src/model/policy-state.ts";
import type { Datastore } from "../../../src/store/datastore.ts";
import type { PodRecord } from "../cni-service/pod-record.ts";
import { AttachedPods, endpointName } from "./attached-pods.ts";
import { type PolicyCaches, PolicySources } from "./policy-sources.ts";

/** Where policy is put into force. */
export interface PolicyKernel {
  /** What an agent before this one left there, in this boot; undefined: no policy. */
  readonly held: HeldPolicy | undefined;
  /** It can be written; `rewrite` when that becomes so. */
  readonly isReady: boolean;
  /**
   * In one transaction, synchronously. @param state undefined: no policy at all. @param change what of it is other than at the last
   * call; absent: perhaps anything. @throws TwillError; then the kernel is as it was.
   */
  write(state: PolicyState | undefined, change?: PolicyChange): void;
}

export interface PolicyOptions {
  readonly node: string;
  /** What becomes of pods of which nothing is known. */
  readonly unknown: "closed" | "open";
  readonly store: Datastore;
  readonly caches: PolicyCaches;
  readonly kernel: PolicyKernel;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What `waitingFor` or `problems` say may be other than before. */
  readonly onChange: () => void;
}

/** A pod's labels are worth so much waiting, milliseconds: then it starts denied, and is let in when they arrive. */
const fetchWithinMs = 1_000;
/** For the first list of pods after the first policy. */
const loadWithinMs = 5_000;
/**
 * What the kernel holds from before a restart is newer than the caches may be, and holds by itself: so long the datastore is waited for.
 */
const trustCachesAfterMs = 10_000;
const retryMs = 1_000;
const lookForProblemsMs = 500;

/**
 * Policy on one node: from what the datastore and CNI say to what the kernel enforces. Events only mark it dirty; what they changed goes
 * through compiler and kernel once a turn of the event loop, in one synchronous stretch, and at once for a pod that is being added.
 *
 * Nothing is looser in between than before and after. Without a policy there is nothing in the kernel and nobody is watched. From the
 * first policy on, pods and namespaces are listed, and the kernel stays as it was (all is allowed) until they are known; pods added
 * meanwhile wait. After a restart the kernel holds what it held until everything is as the datastore has it; if that is away, until
 * the caches have to do.
 */
export class Policy {
  readonly #options: PolicyOptions;
  readonly #sources: PolicySources;
  readonly #pods: AttachedPods;
  readonly #compiler: PolicyCompiler;
  readonly #startedAt: number;
  readonly #attached = new Map<EndpointName, readonly Address[]>();
  /** The compiler knows of the endpoints joined to this node. */
  #enforcing = false;
  /** The kernel was written in this run: what it holds is ours. */
  #written = false;
  /** The kernel may have anything: its last write failed, or there was none. */
  #unsure = true;
  #dirty = false;
  #marked = false;
  readonly #stop = new AbortController();
  #failure: TwillError | undefined;
  #hasCompiled = false;
  #problems: readonly Problem[] = [];
  #looking = false;
  #waited = "?";
  readonly #waiters = new Set<() => void>();

  constructor(options: PolicyOptions) {
    this.#options = options;
    const { node, store, caches, clock, random, log } = options;
    this.#startedAt = clock.monotonic();
    this.#sources = new PolicySources({
      store,
      caches,
      clock,
      random,
      log,
      onChange: () => this.#mark(),
      onPod: (name, before) => this.#pods.changed(name, before),
    });
    const { book } = this.#sources;
    this.#pods = new AttachedPods(node, (name) => this.#sources.podObject(name), {
      putEndpoint: (name, endpoint) => book.putEndpoint(name, endpoint),
      attach: (name, addresses) => this.#attach(name, addresses),
    });
    const { held } = options.kernel;
    this.#compiler = new PolicyCompiler(book.model, {
      node,
      unknownEndpoints: options.unknown === "open" ? "allow" : "deny",
      ...(held === undefined ? {} : { held }),
    });
    if (held !== undefined) this.#wakeIn(trustCachesAfterMs);
  }

  get model(): PolicyModel {
    return this.#sources.book.model;
  }
  /** What is in force. Undefined: there is no policy. */
  get state(): PolicyState | undefined {
    return this.#enforcing ? this.#compiler.state : undefined;
  }
  get compiler(): PolicyCompiler {
    return this.#compiler;
  }
  /** Pods on this node of which nothing is known. */
  get unknown(): readonly EndpointName[] {
    return this.#enforcing ? this.#pods.unknown : [];
  }

  /**
   * Why no pod can be added: it could not be said what it may do. Not while the first policy's pods are being listed: an ADD
   * waits for that by itself, and the node is as ready as before.
   */
  get waitingFor(): readonly string[] {
    if (this.#failure !== undefined) return ["policy to be put into force"];
    if (this.#written) return [];
    if (this.#isKnown) return this.#options.kernel.isReady ? ["policy to be put into force"] : [];
    return this.#missing;
  }

  get #missing(): readonly string[] {
    const { missing } = this.#sources;
    return missing.length > 0 ? missing : ["policies as the datastore has them"];
  }

  /** As of a moment ago. */
  get problems(): readonly Problem[] {
    return [...(this.#failure === undefined ? [] : [notInForce(this.#failure)]), ...this.#problems];
  }

  #findProblems(): readonly Problem[] {
    const { unknown } = this;
    const open = this.#options.unknown === "open";
    return [
      ...this.#sources.problems,
      ...(this.#enforcing ? this.#compiler.problems.filter(({ reason }) => reason !== "PolicyBroken") : []),
      ...(unknown.length === 0 ? [] : [unknownPods(unknown, open)]),
    ];
  }

  /** A machine of the cluster; undefined: it left. */
  setNode(name: string, node: PolicyNode | undefined): void {
    if (node === undefined) this.#sources.book.deleteNode(name);
    else this.#sources.book.putNode(node);
    this.#mark();
  }

  /** What is needed to know what a new pod may do; undefined: nothing more. Resolves in any case, after a second or so at the latest. */
  prepare(pod: PodRecord["pod"]): Promise<void> | undefined {
    if (!this.#sources.hasPolicies || (this.#isKnown && this.#pods.knows(pod))) return undefined;
    return this.#learn(pod);
  }

  /** A pod's interface is made. When this returns, its policy is in force. @throws TwillError; then it must not be handed out. */
  added(key: AttachmentKey, pod: PodRecord["pod"], addresses: readonly Address[]): void {
    this.#pods.add({ key, pod, addresses });
    this.#dirty = true;
    try {
      this.#update();
    } catch (error) {
      this.removed(key);
      throw error;
    }
    if (this.#sources.hasPolicies && !this.#enforcing) {
      this.removed(key);
      throw new TwillError("unavailable", `policy is not known yet: waiting for ${this.#missing.join(", ")}`, {
        operation: "add pod",
        remedy: "the runtime tries again",
      });
    }
  }

  /** A pod that was added by an agent before this one: the kernel has its policy already, or will have it before any other is added. */
  restored(key: AttachmentKey, pod: PodRecord["pod"], addresses: readonly Address[]): void {
    this.#pods.add({ key, pod, addresses });
    this.#mark();
  }

  removed(key: AttachmentKey): void {
    this.#pods.remove(key);
    this.#mark();
  }

  /** The kernel lost what it held, or may have. */
  rewrite(): void {
    this.#unsure = true;
    this.#mark();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#sources.close();
  }

  /** Enough is known to say what the kernel should hold. */
  get #isKnown(): boolean {
    const { knowledge } = this.#sources;
    if (knowledge === "fresh" || this.#written) return knowledge !== "nothing";
    if (knowledge === "nothing") return false;
    const age = this.#options.clock.monotonic() - this.#startedAt;
    return this.#options.kernel.held === undefined || age >= trustCachesAfterMs;
  }

  #attach(name: EndpointName, addresses: readonly Address[] | undefined): void {
    if (addresses === undefined) this.#attached.delete(name);
    else this.#attached.set(name, addresses);
    if (this.#enforcing) this.#handOn(name, addresses);
    this.#dirty = true;
  }

  #handOn(name: EndpointName, addresses: readonly Address[] | undefined): void {
    if (addresses === undefined) this.#compiler.detach(name);
    else this.#compiler.attach(name, addresses);
  }

  /** By the watch or by a look at it, whichever is sooner. */
  async #learn(pod: PodRecord["pod"]): Promise<void> {
    const { clock, log } = this.#options;
    const over = new AbortController();
    await this.#until(() => this.#isKnown && this.#sources.knowledge !== "nothing", loadWithinMs);
    const name = endpointName(pod);
    if (name === undefined || this.#pods.knows(pod)) return;
    const fetched = this.#sources.fetchPod(name).then(
      (found) => {
        if (found?.endpoint !== undefined && (pod.podUid === undefined || found.uid === pod.podUid))
          this.#pods.fetched(name, found);
      },
      (error) => log.warn("a new pod's labels cannot be read", { pod: name, error: describeError(error) }),
    );
    await Promise.race([
      fetched,
      clock.sleep(fetchWithinMs, over.signal),
      this.#until(() => this.#pods.knows(pod), fetchWithinMs),
    ]);
    over.abort();
    if (!this.#pods.knows(pod)) log.warn("a new pod is not known yet, so it is denied until it is", { pod: name });
  }

  async #until(isSo: () => boolean, withinMs: number): Promise<void> {
    if (isSo()) return;
    const over = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => isSo() && resolve();
    this.#waiters.add(look);
    await Promise.race([promise, this.#options.clock.sleep(withinMs, over.signal)]);
    over.abort();
    this.#waiters.delete(look);
  }

  #mark(): void {
    this.#dirty = true;
    if (this.#marked || this.#stop.signal.aborted) return;
    this.#marked = true;
    setImmediate(() => {
      this.#marked = false;
      if (this.#stop.signal.aborted) return;
      try {
        this.#update();
      } catch (error) {
        if (!(error instanceof TwillError)) throw error;
      }
      for (const look of this.#waiters) look();
    });
  }

  /** From everything that is known to the kernel. @throws TwillError what the kernel said; it is tried again by itself. */
  #update(): void {
    if (!this.#dirty || this.#stop.signal.aborted) return;
    this.#dirty = false;
    try {
      if (this.#isKnown && this.#options.kernel.isReady) this.#write();
      this.#failure = undefined;
    } catch (cause) {
      const error = cause instanceof TwillError ? cause : new TwillError("internal", describeError(cause), { cause });
      if (this.#failure?.describe() !== error.describe())
        this.#options.log.error("policy is not in force as it should be", { error });
      this.#failure = error;
      this.#unsure = true;
      this.#dirty = true;
      this.#wakeIn(retryMs);
      throw error;
    } finally {
      this.#tell();
    }
  }

  #write(): void {
    const { kernel } = this.#options;
    const { book, isSelecting } = this.#sources;
    if (isSelecting !== this.#enforcing) {
      this.#enforcing = isSelecting;
      this.#unsure = true;
      for (const [name, addresses] of this.#attached) this.#handOn(name, isSelecting ? addresses : undefined);
    }
    if (!isSelecting) {
      // What changes meanwhile, the book keeps for the compiler until there is a policy.
      if (this.#unsure) kernel.write(undefined);
    } else {
      const news = book.takeChange();
      const change = this.#compiler.update(this.#hasCompiled ? (news ?? {}) : undefined);
      this.#hasCompiled = true;
      if (this.#unsure) kernel.write(this.#compiler.state);
      else if (!isNothing(change)) kernel.write(this.#compiler.state, change);
    }
    this.#unsure = false;
    this.#written = true;
  }

  #wakeIn(milliseconds: number): void {
    void this.#options.clock.sleep(milliseconds, this.#stop.signal).then(() => this.#mark());
  }

  /** What keeps pods from being added, at once; what is wrong with 30,000 policies, not with each of 1,000 changes a second. */
  #tell(): void {
    if (!this.#looking) {
      this.#looking = true;
      void this.#options.clock.sleep(lookForProblemsMs, this.#stop.signal).then(() => this.#lookForProblems());
    }
    const waiting = this.waitingFor.join();
    if (waiting === this.#waited) return;
    this.#waited = waiting;
    this.#options.onChange();
  }

  #lookForProblems(): void {
    this.#looking = false;
    if (this.#stop.signal.aborted) return;
    const before = JSON.stringify(this.#problems);
    this.#problems = this.#findProblems();
    if (JSON.stringify(this.#problems) !== before) this.#options.onChange();
  }
}

const isNothing = ({ addresses, networks, ports, decisions, verdicts }: PolicyChange): boolean =>
  networks === undefined && addresses.size + ports.size + decisions.size + verdicts.size === 0;

const notInForce = (error: TwillError): Problem => ({
  severity: "error",
  subject: "policy",
  reason: "PolicyNotInForce",
  message: `the kernel does not take it: ${error.describe()}; what was in force before stays so, and no pod is added`,
  remedy: error.remedy ?? "the agent tries again by itself",
});

const unknownPods = (names: readonly EndpointName[], open: boolean): Problem => ({
  severity: "warning",
  subject: "pods",
  reason: "PodsUnknown",
  message: `the datastore does not know ${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}, so no policy selects them and ${open ? "they are open" : "all traffic of theirs is denied"}`,
  remedy: open
    ? "nothing, once their objects arrive; --policy-unknown=closed denies such pods"
    : "nothing, once their objects arrive; containers that are no pods of Kubernetes need --policy-unknown=open",
});
