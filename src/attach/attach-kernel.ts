import { LinkDeleter } from "../kernel/link-deleter.ts";
import type { Rtnl, RtnlOperation } from "../kernel/rtnl.ts";
import { openRtnl } from "../kernel/rtnl-socket.ts";
import { kernelSysctls, type Sysctls } from "../kernel/sysctl.ts";

/** One network namespace, open for changes. */
export interface Namespace {
  readonly rtnl: Rtnl;
  readonly sysctls: Sysctls;
}

/** The kernel as attachments see it: the node's namespace, kept open, and the pods', opened for the moment. */
export interface AttachKernel {
  readonly node: Namespace;
  /** Runs `work` on the pod's namespace (open descriptor), which it must not keep. */
  inPod<T>(netns: number, work: (pod: Namespace) => T): T;
  /** Returns as soon as no namespace shows the node's link (nor its peer) any more. Nothing happens when it is gone. */
  deleteLink(index: number): void;
  /** The same for several, in one step, as far as possible: deleteLink for each of them makes sure. */
  deleteLinksTogether(indexes: readonly number[]): void;
  close(): void;
}

/**
 * @param netns of the node, an open descriptor; undefined: the process's own.
 * @param sysctlDir where /proc/sys/net can be written.
 */
export function openAttachKernel(netns?: number, sysctlDir?: string): AttachKernel {
  const rtnl = openRtnl(netns === undefined ? {} : { netns });
  const deleter = new LinkDeleter(rtnl, netns);
  return {
    node: { rtnl, sysctls: kernelSysctls(netns, sysctlDir) },
    inPod: (fd, work) => {
      const pod = openRtnl({ netns: fd });
      try {
        return work({ rtnl: pod, sysctls: kernelSysctls(fd, sysctlDir) });
      } finally {
        pod.close();
      }
    },
    deleteLink: (index) => deleter.delete(index),
    deleteLinksTogether: (indexes) => deleter.deleteTogether(indexes),
    close: () => {
      deleter.close();
      rtnl.close();
    },
  };
}

/** All in one send. @throws the first refusal; what came before it holds, what comes behind it may hold too. */
export function applyAll(rtnl: Rtnl, operations: readonly RtnlOperation[]): void {
  if (operations.length === 0) return;
  const refused = rtnl.apply(operations).find((error) => error !== undefined);
  if (refused !== undefined) throw refused;
}
