import type { Attached, AttachPlan } from "../../../src/attach/attachment.ts";
import { TwillError } from "../../../src/base/errors.ts";
import type { Mac } from "../../../src/base/mac.ts";
import type { PodPlace } from "../../../src/insight/node-view.ts";
import type { AttachmentConfig } from "../../../src/intent/cni/config.ts";
import type { PodArguments } from "../../../src/intent/cni/pod-arguments.ts";
import type { Assignment } from "../../../src/ipam/address-book.ts";

/** What is kept of an attached pod beside its addresses: enough to check, mend and explain it after a restart. */
export interface PodRecord {
  readonly attachment: AttachmentConfig;
  readonly plan: AttachPlan;
  readonly attached: Attached;
  /** CNI_NETNS: the runtime's path of the namespace. */
  readonly netns: string;
  /** The configuration gave the MTU: it does not follow the underlay's. */
  readonly fixedMtu: boolean;
  readonly pod: Pick<PodArguments, "podName" | "podNamespace" | "podUid">;
}

/** Where to look into the pod. */
export const placeOf = ({ pod, plan, attached, netns, attachment }: PodRecord): PodPlace => ({
  namespace: pod.podNamespace ?? "-",
  name: pod.podName ?? plan.key.containerId,
  addresses: plan.addresses.map(({ address }) => address),
  ifname: plan.key.ifname,
  netns,
  attachment: attachment.type,
  ...(attached.host === undefined ? {} : { hostDevice: attached.host.name }),
});

/** What a macvlan pod sends leaves the node past all of the node's chains, by an address of another network. */
export const isEnforceable = ({ attachment }: PodRecord): boolean => attachment.type !== "macvlan";

/** Undefined: not on a bridge. */
export const bridgedMac = ({ attachment, attached }: PodRecord): Mac | undefined =>
  attachment.type === "bridge" ? attached.pod.mac : undefined;

const version = 1;

export const encodeRecord = (record: PodRecord): string => JSON.stringify({ version, ...record });

/** Of a ready assignment. @throws TwillError `unsupported` for one that a newer Twill wrote, `corrupt`. */
export function recordOf({
  key,
  result,
}: Pick<Assignment, "key"> & { readonly result?: string | undefined }): PodRecord {
  const details = { operation: "read pod record", object: `${key.containerId} ${key.ifname}` };
  const stored: unknown = parse(result ?? "null");
  if (typeof stored !== "object" || stored === null || !("version" in stored) || !("plan" in stored)) {
    throw new TwillError("corrupt", "this is no pod record", { ...details, remedy: "delete the pod" });
  }
  if (stored.version !== version) {
    throw new TwillError("unsupported", `it has version ${String(stored.version)}, not ${version}`, {
      ...details,
      remedy: "run the newer version of the agent, or delete the pod",
    });
  }
  // Written by encodeRecord into a file that only root can write.
  return stored as unknown as PodRecord;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
