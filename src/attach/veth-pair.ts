import { isCode, TwillError } from "../base/errors.ts";
import type { RtnlOperation } from "../kernel/rtnl.ts";
import type { Link } from "../objects/link.ts";
import type { AttachKernel, Namespace } from "./attach-kernel.ts";
import type { AttachedLink, AttachmentKey, AttachRequest } from "./attachment.ts";
import { hostDeviceName, isHostDevice, macsOf, twillAlias } from "./host-device.ts";
import { requireFreeName } from "./pod-interface.ts";

/** A veth from the node into a pod. Its two ends live and die together, so the host's end stands for both. */
export interface VethPair {
  readonly host: Link;
  readonly pod: Link;
}

/**
 * Makes the pair straight in both namespaces, the pod's end down, and runs `complete`; when that fails, the pair is deleted
 * again, with everything that hung on it.
 */
export function withVethPair<T>(
  kernel: AttachKernel,
  request: AttachRequest,
  pod: Namespace,
  options: { readonly master?: number },
  complete: (pair: VethPair) => T,
): T {
  const { ifname } = request.key;
  const name = hostDeviceName(request.key);
  const macs = macsOf(request.key);
  const { mtu, netns } = request;
  const creation: RtnlOperation = {
    op: "link.add",
    spec: {
      ...options,
      name,
      kind: { type: "veth" },
      mac: macs.host,
      mtu,
      peer: { name: ifname, mac: request.mac ?? macs.pod, mtu, netns },
    },
  };
  const [refusal] = kernel.node.rtnl.apply([creation]);
  if (refusal !== undefined) {
    // Looked at only now, for it is hardly ever so: one of the two names is taken.
    if (!isCode(refusal, "exists")) throw refusal;
    requireFreeName(pod, ifname);
    // The key is free, so a device of its name is what a crash left in another, perhaps dead, namespace.
    deleteHostDevice(kernel, name);
    kernel.node.rtnl.do(creation);
  }
  try {
    const host = requireLink(kernel.node, name);
    // The alias cannot be given at creation (rtnl_create_link ignores it). No generated link-local address: none is needed
    // beside those that the attachment gives, and an IPv4 pod's veth stays silent.
    const change = { alias: twillAlias, addressGeneration: "none" } as const;
    kernel.node.rtnl.do({ op: "link.set", index: host.index, change });
    return complete({ host, pod: requireLink(pod, ifname) });
  } catch (error) {
    deleteHostDevice(kernel, name);
    throw error;
  }
}

/** Nothing happens when there is no such device, or one that is not ours. */
export function deleteHostDevice(kernel: AttachKernel, name: string): void {
  const link = kernel.node.rtnl.link(name);
  if (link !== undefined && isHostDevice(link)) kernel.deleteLink(link.index);
}

/** What `detach` would do for each of these pods, in one step, as far as possible: `detach` makes sure. */
export function deleteHostDevices(kernel: AttachKernel, keys: readonly AttachmentKey[]): void {
  const names = new Set(keys.map(hostDeviceName));
  const links = [...names].flatMap((name) => kernel.node.rtnl.link(name) ?? []);
  kernel.deleteLinksTogether(links.filter(isHostDevice).map(({ index }) => index));
}

export function setLinkMtu(namespace: Namespace, name: string, mtu: number): void {
  const link = requireLink(namespace, name);
  if (link.mtu !== mtu) namespace.rtnl.do({ op: "link.set", index: link.index, change: { mtu } });
}

export function requireLink(namespace: Namespace, name: string): Link {
  const link = namespace.rtnl.link(name);
  if (link === undefined)
    throw new TwillError("not-found", "there is no such interface", { operation: "read link", object: name });
  return link;
}

/** As it goes into the CNI result. */
export function attachedLink({ name, mac, mtu }: Link): AttachedLink {
  if (mac === undefined) throw new TwillError("internal", "an Ethernet device without an address", { object: name });
  return { name, mac, mtu };
}
