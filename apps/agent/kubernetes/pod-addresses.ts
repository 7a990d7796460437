import { type Address, familyOf, widthOf } from "../../../src/base/address.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { isCode, TwillError } from "../../../src/base/errors.ts";
import type { Log } from "../../../src/base/log.ts";
import type { Problem } from "../../../src/base/problem.ts";
import type { AttachmentKey } from "../../../src/model/attachment-key.ts";
import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import { PODS } from "../../../src/store/kubernetes/resource.ts";
import { Alarm } from "../alarm.ts";

export interface PodAddressesOptions {
  readonly client: () => Promise<Pick<KubernetesClient, "patch">>;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

/** A pod as CNI_ARGS named it. Checked there: a name that is none never comes so far. */
export interface NamedPod {
  readonly podName?: string;
  readonly podNamespace?: string;
  readonly podUid?: string;
}

interface Waiting {
  readonly place: { readonly namespace: string; readonly name: string; readonly subresource: "status" };
  readonly uid: string;
  readonly containerId: string;
  readonly addresses: readonly Address[];
  readonly since: number;
  tries: number;
  refused?: TwillError;
}

/** Calico's, which its users' tools and other pod networks read. */
const annotations = { first: "cni.projectcalico.org/podIP", all: "cni.projectcalico.org/podIPs" };
/** The interface whose addresses are the pod's. */
const primary = "eth0";
/** The plugin gets its answer first, and a burst of ADDs goes before what nobody waits for. Milliseconds. */
const afterMs = 2;
/** Few of the client's 16 places: the Node's own writes must not wait behind a hundred pods. */
const atOnce = 4;
const retryMs = { first: 500, longest: 30_000 };
/** A conflict is a writer at the same moment, or another pod of that name; the second does not pass. */
const conflictTries = 3;
/** A node has a few hundred pods; what is more has been lost track of. */
const most = 4096;

/**
 * Tells the API server a new pod's address without waiting for the kubelet, which does so seconds later. ADD only puts
 * it here. While the API server is away it waits, in memory alone: the kubelet's report says the same in the end.
 */
export class PodAddresses {
  readonly #options: PodAddressesOptions;
  readonly #alarm: Alarm;
  readonly #stop = new AbortController();
  /** By uid: a pod whose sandbox is made anew has another address, and only the newest counts. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #counters = { published: 0, dropped: 0, failed: 0 };
  #milliseconds = 0;

  constructor(options: PodAddressesOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
    void this.#run();
  }

  /** Since the start: told, given up (the pod was gone), failed and tried again. */
  get counters(): Readonly<Record<"published" | "dropped" | "failed", number>> {
    return this.#counters;
  }
  get waiting(): number {
    return this.#waiting.size;
  }
  /** From ADD to the API server's answer, milliseconds, of all published. */
  get milliseconds(): number {
    return this.#milliseconds;
  }

  /** An API server that is away is said elsewhere. */
  get problems(): readonly Problem[] {
    const refused = [...this.#waiting.values()].find((pod) => pod.refused !== undefined)?.refused;
    if (refused === undefined) return [];
    return [
      {
        severity: "warning",
        subject: "pods",
        reason: "PodAddressesRefused",
        message: `the API server does not take their addresses: ${refused.describe()}`,
        remedy: "apply Twill's manifest again; until then the addresses show when the kubelet reports them",
      },
    ];
  }

  /** Costs a map's entry: called while a plugin waits. */
  added({ containerId, ifname }: AttachmentKey, pod: NamedPod, addresses: readonly Address[]): void {
    const { podName: name, podNamespace: namespace, podUid: uid } = pod;
    // Without its uid a pod cannot be told from the next one of its name, as a StatefulSet makes it.
    if (ifname !== primary || uid === undefined || name === undefined || namespace === undefined) return;
    if (this.#waiting.size >= most) return;
    const place = { namespace, name, subresource: "status" } as const;
    const since = this.#options.clock.monotonic();
    this.#waiting.set(uid, { place, uid, containerId, addresses, since, tries: 0 });
    this.#alarm.ring();
  }

  removed({ containerId, ifname }: AttachmentKey): void {
    if (ifname !== primary || this.#waiting.size === 0) return;
    for (const [uid, pod] of this.#waiting) if (pod.containerId === containerId) this.#waiting.delete(uid);
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      if (this.#waiting.size === 0) {
        await this.#alarm.wait(Infinity, signal);
        await clock.sleep(afterMs, signal);
        continue;
      }
      const round = [...this.#waiting.values()].slice(0, atOnce);
      const fine = await Promise.all(round.map((pod) => this.#publish(pod)));
      if (fine.every((each) => each)) failures = 0;
      else await clock.sleep(Math.min(retryMs.first * 2 ** failures++, retryMs.longest), signal);
    }
  }

  /** @returns false when it is worth waiting before the next. */
  async #publish(pod: Waiting): Promise<boolean> {
    const { client, clock } = this.#options;
    try {
      await (await client()).patch(PODS, pod.place, patchOf(pod));
      this.#counters.published++;
      this.#milliseconds += clock.monotonic() - pod.since;
      this.#done(pod);
      return true;
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      if (isCode(error, "not-found") || isCode(error, "invalid") || this.#lostTo(pod, error)) {
        this.#counters.dropped++;
        this.#done(pod);
        return true;
      }
      this.#counters.failed++;
      this.#toTheEnd(pod);
      if (!isCode(error, "unavailable") && !isCode(error, "conflict")) this.#refuse(pod, error);
      return false;
    }
  }

  #lostTo(pod: Waiting, error: TwillError): boolean {
    return isCode(error, "conflict") && ++pod.tries >= conflictTries;
  }

  /** Unless the pod has another address meanwhile. */
  #done(pod: Waiting): void {
    if (this.#waiting.get(pod.uid) === pod) this.#waiting.delete(pod.uid);
    if (pod.refused !== undefined) this.#options.onChange();
  }

  /** What cannot be published must not keep the others from it. */
  #toTheEnd(pod: Waiting): void {
    if (this.#waiting.get(pod.uid) !== pod) return;
    this.#waiting.delete(pod.uid);
    this.#waiting.set(pod.uid, pod);
  }

  #refuse(pod: Waiting, error: TwillError): void {
    if (pod.refused === undefined) {
      this.#options.log.warn("a pod's address is not published", { pod: pod.place.name, error });
      this.#options.onChange();
    }
    pod.refused = error;
  }
}

/** metadata.uid in a patch is a precondition: another pod of that name is a conflict (409). */
function patchOf({ uid, addresses }: Waiting): unknown {
  const hosts = addresses.map((address) => `${address}/${widthOf(familyOf(address))}`);
  return {
    metadata: { uid, annotations: { [annotations.first]: hosts[0] ?? "", [annotations.all]: hosts.join(",") } },
  };
}
