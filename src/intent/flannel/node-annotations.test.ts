import { expect, test } from "bun:test";
import type { Address } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import type { Prefix } from "../../base/prefix.ts";
import { pick, seededRandom } from "../../base/random.ts";
import type { Lease } from "../../model/network.ts";
import { decodeLease, encodeLease } from "./lease.ts";
import {
  type AnnotatedNode,
  formatNodeAnnotations,
  nodeLeases,
  overwrittenAddresses,
  parseNodeAnnotations,
} from "./node-annotations.ts";

/** As flanneld v0.26 leaves a Node. */
const flanneld: AnnotatedNode = {
  name: "node1",
  annotations: {
    "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"0e:10:f4:01:02:03"}',
    "flannel.alpha.coreos.com/backend-type": "vxlan",
    "flannel.alpha.coreos.com/kube-subnet-manager": "true",
    "flannel.alpha.coreos.com/public-ip": "10.9.0.11",
    "node.alpha.kubernetes.io/ttl": "0",
  },
  podCidrs: ["10.244.1.0/24"],
};

const dual: Lease = {
  node: "node2",
  id: "machine-2",
  subnets: ["10.244.2.0/24", "fd00:2::/64"] as Prefix[],
  addresses: ["10.9.0.12", "fd01::12"] as Address[],
  backendType: "vxlan",
  backendData: { 4: { VNI: 1, VtepMAC: "0e:00:00:00:00:01" }, 6: { VNI: 1, VtepMAC: "0e:00:00:00:00:02" } },
  underlays: ["10.9.0.0/24"] as Prefix[],
  peerPort: 8473,
};

/** What the API server holds after these annotations were set. */
function annotated(lease: Lease): AnnotatedNode {
  const set = Object.entries(formatNodeAnnotations(lease)).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  return { name: lease.node, annotations: Object.fromEntries(set), podCidrs: lease.subnets };
}

test("a node that runs flanneld is a lease", () => {
  expect(parseNodeAnnotations(flanneld)).toEqual({
    node: "node1",
    subnets: ["10.244.1.0/24" as Prefix],
    addresses: ["10.9.0.11" as Address],
    backendType: "vxlan",
    backendData: { 4: { VNI: 1, VtepMAC: "0e:10:f4:01:02:03" } },
  });
});

test("what we write is what flanneld reads, and what we read", () => {
  expect(parseNodeAnnotations(annotated(dual))).toEqual(dual);
  expect(annotated(dual).annotations).toMatchObject({
    "flannel.alpha.coreos.com/kube-subnet-manager": "true",
    "flannel.alpha.coreos.com/backend-type": "vxlan",
    "flannel.alpha.coreos.com/backend-data": '{"VNI":1,"VtepMAC":"0e:00:00:00:00:01"}',
    "flannel.alpha.coreos.com/public-ip": "10.9.0.12",
    "flannel.alpha.coreos.com/backend-v6-data": '{"VNI":1,"VtepMAC":"0e:00:00:00:00:02"}',
    "flannel.alpha.coreos.com/public-ipv6": "fd01::12",
  });
  const hostGw: Lease = { ...dual, addresses: ["10.9.0.12" as Address], backendType: "host-gw", backendData: {} };
  expect(formatNodeAnnotations(hostGw)).toMatchObject({
    "flannel.alpha.coreos.com/backend-data": "null",
    "flannel.alpha.coreos.com/backend-v6-data": null,
    "flannel.alpha.coreos.com/public-ipv6": null,
  });
  // The podCIDR of a family in which the node has no address is nobody's to reach.
  expect(parseNodeAnnotations(annotated(hostGw))).toEqual({ ...hostGw, subnets: ["10.244.2.0/24" as Prefix] });
  expect(Object.values(formatNodeAnnotations(undefined)).every((value) => value === null)).toBe(true);
  expect(Object.keys(formatNodeAnnotations(undefined)).sort()).toEqual(Object.keys(formatNodeAnnotations(dual)).sort());
});

test("a flanneld that took the node over is believed, not what Twill left", () => {
  const { id, underlays, peerPort, ...rest } = dual;
  const node = annotated(dual);
  const moved = { ...node, annotations: { ...node.annotations, "flannel.alpha.coreos.com/public-ip": "10.9.0.99" } };
  expect(parseNodeAnnotations(moved)).toEqual({ ...rest, addresses: ["10.9.0.99", "fd01::12"] as Address[] });
  const damaged = { ...node, annotations: { ...node.annotations, "twill.dev/node": '{"version":99}' } };
  expect(parseNodeAnnotations(damaged)).toEqual(rest);
});

test("podCIDRs come IPv4 first; claims stand in for them where there are none", () => {
  const node = annotated(dual);
  expect(parseNodeAnnotations({ ...node, podCidrs: ["fd00:2::/64", "10.244.2.0/24"] })).toEqual(dual);
  const claimed = { ...dual, subnets: ["10.244.77.0/24"] as Prefix[] };
  expect(parseNodeAnnotations({ ...annotated(claimed), podCidrs: [] })).toEqual(claimed);
});

test("as the codec of a kind: both ways, and it never throws", () => {
  const set = nodeLeases.annotations(encodeLease(dual));
  const node = {
    metadata: { name: dual.node, annotations: set as Record<string, string> },
    spec: { podCIDR: "10.244.2.0/24" },
  };
  const stored = nodeLeases.read(node);
  expect(decodeLease(stored ?? new Uint8Array())).toEqual({ ...dual, subnets: ["10.244.2.0/24" as Prefix] });
  expect(nodeLeases.read({ metadata: { name: "n" } })).toBeUndefined();
  const bad = nodeLeases.read({ ...node, spec: { podCIDRs: ["127.0.0.0/8"] } });
  expect(() => decodeLease(bad ?? new Uint8Array(), "node node2")).toThrow(
    /Node node2: spec.podCIDRs: 127.0.0.0\/8 cannot be/,
  );
});

test("a node without a network, or without a subnet yet, is none", () => {
  expect(parseNodeAnnotations({ ...flanneld, podCidrs: [] })).toBeUndefined();
  expect(parseNodeAnnotations({ ...flanneld, annotations: {} })).toBeUndefined();
});

test("addresses that the administrator overwrote", () => {
  const annotations = {
    "flannel.alpha.coreos.com/public-ip-overwrite": "192.0.2.7",
    "flannel.alpha.coreos.com/public-ipv6-overwrite": "2001:db8::7",
  };
  expect(overwrittenAddresses({ name: "a", annotations })).toEqual(["192.0.2.7", "2001:db8::7"] as Address[]);
  expect(overwrittenAddresses({ name: "a", annotations: {} })).toEqual([]);
});

test("what cannot be meant names the node and the annotation", () => {
  const broken: Readonly<Record<string, string>> = {
    "flannel.alpha.coreos.com/public-ip": "10.9.0.300",
    "flannel.alpha.coreos.com/public-ipv6": "10.9.0.11",
    "flannel.alpha.coreos.com/backend-type": "VXLAN !",
    "flannel.alpha.coreos.com/backend-data": "{",
  };
  for (const [key, value] of Object.entries(broken)) {
    const error = failure({ ...flanneld, annotations: { ...flanneld.annotations, [key]: value } });
    expect([key, error?.code as string, error?.object?.startsWith(`Node node1: ${key}`)]).toEqual([
      key,
      "corrupt",
      true,
    ]);
  }
  expect(failure({ ...flanneld, podCidrs: ["10.244.1.0/24", "10.244.2.0/24"] })?.code).toBe("corrupt");
  expect(failure({ ...flanneld, podCidrs: ["127.0.0.0/24"] })?.code).toBe("corrupt");
});

test("random annotations are a lease, none, or corrupt", () => {
  const values = [
    "",
    "true",
    "null",
    "{}",
    "vxlan",
    "10.9.0.1",
    "fd00::1",
    "0.0.0.0",
    '{"version":1}',
    "\u0000",
    "[[[[",
  ];
  const node = annotated(dual);
  for (let seed = 1; seed <= 2000; seed++) {
    const random = seededRandom(seed);
    const annotations = Object.fromEntries(
      Object.entries(node.annotations).map(([key, value]) => [
        key,
        random.below(3) === 0 ? pick(random, values) : value,
      ]),
    );
    failure({ ...node, annotations, podCidrs: random.below(4) === 0 ? [pick(random, values)] : node.podCidrs });
  }
});

function failure(node: AnnotatedNode): TwillError | undefined {
  try {
    parseNodeAnnotations(node);
    return undefined;
  } catch (error) {
    if (error instanceof TwillError && error.code === "corrupt") return error;
    throw error;
  }
}
