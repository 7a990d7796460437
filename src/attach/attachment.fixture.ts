import { onTestFinished } from "bun:test";
import { type TestNetns, testNetns } from "../../test/support/netns.ts";
import { type Address, type Family, familyOf, parseAddress } from "../base/address.ts";
import { TwillError } from "../base/errors.ts";
import { everything, type InterfaceAddress, parseInterfaceAddress } from "../base/prefix.ts";
import type { Rtnl } from "../kernel/rtnl.ts";
import { kernelSysctls, type Sysctls } from "../kernel/sysctl.ts";
import { type AttachKernel, type Namespace, openAttachKernel } from "./attach-kernel.ts";
import type { Attachment, AttachRequest } from "./attachment.ts";

/** An attachment under test, on a node of its own. */
export interface AttachmentCase {
  readonly type: Attachment["type"];
  /** Prepares the node (devices, addresses) and makes the attachment. */
  make(kernel: AttachKernel, node: TestNetns): Attachment;
  /** Mask length of pod addresses. */
  readonly length: Readonly<Record<Family, number>>;
  readonly gateways: readonly Address[];
  /** Whether node and pods reach each other: macvlan keeps them apart. */
  readonly reachesNode: boolean;
  /** Whether pods get default routes from the node. */
  readonly hostSide: boolean;
}

export const nodeAddresses = ["192.0.2.1", "2001:db8::1"].map(parseAddress);

/** A node that forwards and has addresses on `lo`, whatever its pods hang on. */
export function testNode(): TestNetns {
  const node = testNetns();
  const sysctls = kernelSysctls(node.fd);
  sysctls.write(["ipv4", "ip_forward"], "1");
  sysctls.write(["ipv6", "conf", "all", "forwarding"], "1");
  for (const address of nodeAddresses)
    node.rtnl.do({
      op: "address.add",
      address: { device: 1, address, length: familyOf(address) === 4 ? 32 : 128, scope: "universe", noDad: true },
    });
  return node;
}

export function testKernel(node: TestNetns): AttachKernel {
  const kernel = openAttachKernel(node.fd);
  onTestFinished(() => kernel.close());
  return kernel;
}

/** A pod's namespace as a runtime hands it over: `lo` down. */
export function podNetns(): TestNetns {
  const pod = testNetns();
  pod.rtnl.do({ op: "link.set", index: 1, change: { up: false } });
  return pod;
}

/** Pod number `index` of a case: 10.244.1.<index>, fd00:10:244:1::<index>. */
export function podRequest(
  which: AttachmentCase,
  pod: TestNetns,
  index: number,
  families: readonly Family[] = [4, 6],
): AttachRequest {
  const addresses: InterfaceAddress[] = families.map((family) =>
    parseInterfaceAddress(
      family === 4 ? `10.244.1.${index}/${which.length[4]}` : `fd00:10:244:1::${index.toString(16)}/${which.length[6]}`,
    ),
  );
  return {
    key: { network: "cbr0", containerId: `container-${index}`, ifname: "eth0" },
    netns: pod.fd,
    addresses,
    gateways: which.gateways.filter((gateway) => families.includes(familyOf(gateway))),
    routes: which.hostSide ? families.map((family) => ({ destination: everything(family) })) : [],
    mtu: 1450,
  };
}

/** One packet each way, answered within two seconds: no time for duplicate address detection or proxy_delay to end. */
export function ping(from: TestNetns, to: Address): void {
  from.run("ping", "-n", "-c", "1", "-W", "2", to);
}

/** Counts operations on the kernel and throws instead of carrying out number `failAt` (from 0). */
export function failingKernel(kernel: AttachKernel, failAt: number): { kernel: AttachKernel; count: () => number } {
  let count = 0;
  let armed = true;
  const step = () => {
    if (armed && count++ === failAt) {
      armed = false; // what cleans up afterwards works again
      throw new TwillError("kernel", "injected");
    }
  };
  const rtnl = (inner: Rtnl): Rtnl =>
    new Proxy(inner, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        if (property === "close") return value.bind(target);
        return (...args: readonly unknown[]): unknown => {
          step();
          return Reflect.apply(value, target, args);
        };
      },
    });
  const sysctls = (inner: Sysctls): Sysctls => ({
    read: (name) => inner.read(name),
    tryRead: (name) => inner.tryRead(name),
    write: (name, value) => {
      step();
      inner.write(name, value);
    },
  });
  const namespace = (inner: Namespace): Namespace => ({ rtnl: rtnl(inner.rtnl), sysctls: sysctls(inner.sysctls) });
  return {
    count: () => count,
    kernel: {
      node: namespace(kernel.node),
      inPod: (netns, work) => kernel.inPod(netns, (pod) => work(namespace(pod))),
      deleteLinksTogether: (indexes) => kernel.deleteLinksTogether(indexes),
      deleteLink: (index) => kernel.deleteLink(index),
      close: () => {},
    },
  };
}
