import { TwillError } from "../../base/errors.ts";
import type { Link, MacvlanMode } from "../../objects/link.ts";
import type { AttachKernel, Namespace } from "../attach-kernel.ts";
import type {
  Attached,
  AttachedPod,
  Attachment,
  AttachmentKey,
  AttachPlan,
  AttachRequest,
  PodMtu,
  Repair,
} from "../attachment.ts";
import { checkPod, configurePod, type PodInterface, requireFreeName } from "../pod-interface.ts";
import { limitRoutes } from "../pod-mtu.ts";
import { resolveRoutes } from "../pod-routes.ts";
import { attachedLink, requireLink, setLinkMtu } from "../veth-pair.ts";

export interface MacvlanOptions {
  /** The node's device whose segment the pods join. */
  readonly master: string;
  readonly mode: MacvlanMode;
}

/**
 * Pods as machines of their own on the node's segment, made straight in their namespace. Node and pods do not reach each
 * other (a property of macvlan), and the node cannot enforce policy on them. There is no host side to mend or to find again:
 * the interface lives and dies with the pod's namespace.
 */
export class MacvlanAttachment implements Attachment {
  readonly type = "macvlan";
  readonly #kernel: AttachKernel;
  readonly #options: MacvlanOptions;

  constructor(kernel: AttachKernel, options: MacvlanOptions) {
    this.#kernel = kernel;
    this.#options = options;
  }

  attach(request: AttachRequest): Attached {
    const master = this.#requireMaster(request.mtu);
    const { ifname } = request.key;
    return this.#kernel.inPod(request.netns, (pod) => {
      requireFreeName(pod, ifname);
      this.#kernel.node.rtnl.do({
        op: "link.add",
        spec: {
          name: ifname,
          kind: { type: "macvlan", mode: this.#options.mode },
          lower: master.index,
          // Else the kernel's choice: one from the key could collide with that of a namespace which is still dying.
          ...(request.mac === undefined ? {} : { mac: request.mac }),
          mtu: request.mtu,
          netns: request.netns,
        },
      });
      try {
        const link = requireLink(pod, ifname);
        const attached: Attached = {
          pod: attachedLink(link),
          routes: resolveRoutes(pod, link, request, request.gateways),
          gateways: request.gateways,
        };
        configurePod(pod, link, podInterface(request, attached));
        return attached;
      } catch (error) {
        deleteMacvlan(pod, ifname);
        throw error;
      }
    });
  }

  #requireMaster(mtu: number): Link {
    const { master } = this.#options;
    const details = { operation: "attach", object: `macvlan on ${master}` };
    const link = this.#kernel.node.rtnl.link(master);
    if (link === undefined)
      throw new TwillError("not-found", `the node has no device ${master}`, {
        ...details,
        remedy: 'name an existing device as "master" of the network configuration',
      });
    if (mtu > link.mtu)
      throw new TwillError("invalid", `the MTU ${mtu} exceeds the ${link.mtu} of ${master}`, {
        ...details,
        remedy: `set "mtu" to ${link.mtu} or less`,
      });
    return link;
  }

  detach(key: AttachmentKey, netns: number | undefined): void {
    if (netns !== undefined) this.#kernel.inPod(netns, (pod) => deleteMacvlan(pod, key.ifname));
  }

  check(request: AttachRequest, attached: Attached): string[] {
    const { master } = this.#options;
    const lost = this.#kernel.node.rtnl.link(master) === undefined ? [`the node has no device ${master}`] : [];
    return [...lost, ...this.#kernel.inPod(request.netns, (pod) => checkPod(pod, podInterface(request, attached)))];
  }

  repair(_pods: readonly AttachedPod[]): Repair {
    return { mended: [], broken: [] };
  }

  setMtu(key: AttachmentKey, netns: number | undefined, mtu: PodMtu): void {
    this.#requireMaster(mtu.device);
    if (netns === undefined) return;
    this.#kernel.inPod(netns, (pod) => {
      setLinkMtu(pod, key.ifname, mtu.device);
      limitRoutes(pod, key.ifname, mtu);
    });
  }

  strays(_known: readonly AttachmentKey[]): string[] {
    return [];
  }

  remove(_stray: string): void {}
}

/** Only what we could have made: DEL may come for a namespace in which somebody else uses the name. */
function deleteMacvlan(pod: Namespace, ifname: string): void {
  const link = pod.rtnl.link(ifname);
  if (link?.kind.type === "macvlan") pod.rtnl.do({ op: "link.delete", index: link.index });
}

const podInterface = (plan: AttachPlan, attached: Attached): PodInterface => ({
  ifname: plan.key.ifname,
  addresses: plan.addresses,
  mac: attached.pod.mac,
  mtu: attached.pod.mtu,
  neighbours: [],
  routes: attached.routes,
  announce: true,
});
