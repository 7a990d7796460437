import { isCode } from "../../../src/base/errors.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { openNetns } from "../../../src/kernel/netns.ts";
import type { Rtnl } from "../../../src/kernel/rtnl.ts";
import type { PodRecord } from "./pod-record.ts";

/**
 * Those of these pods whose network namespace is gone without a DEL: a runtime that lost its state does not know them any
 * more, and containerd (2.4) never calls GC.
 *
 * Where a veth leads to the pod, the kernel is asked: it takes both ends away with the namespace. The namespace's path alone
 * proves nothing, for it may be one that only the runtime can see (/proc/PID/ns/net of another PID namespace); nor does the
 * missing device, which somebody may have deleted while the pod lives.
 */
export function vanishedPods(rtnl: Rtnl, records: readonly PodRecord[]): readonly PodRecord[] {
  const devices = new Set(rtnl.links().map(({ name }) => name));
  return records.filter(({ attached: { host }, netns }) =>
    host === undefined ? isRemoved(netns) : !devices.has(host.name) && !isOpen(netns),
  );
}

function isOpen(path: string): boolean {
  try {
    closeFile(openNetns(path));
    return true;
  } catch {
    return false;
  }
}

/** Where runtimes mount namespaces everybody sees them: there a missing file means a missing namespace. */
function isRemoved(path: string): boolean {
  if (!/^(\/var)?\/run\/netns\//.test(path)) return false;
  try {
    closeFile(openNetns(path));
    return false;
  } catch (error) {
    return isCode(error, "not-found");
  }
}
