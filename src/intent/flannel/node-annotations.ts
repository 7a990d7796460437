import { type Address, type Family, familyOf } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { parseJson, plainValue } from "../../base/json.ts";
import { type Prefix, prefixFamily } from "../../base/prefix.ts";
import type { Lease } from "../../model/network.ts";
import { parseNodeName } from "../subdomain.ts";
import { decodeLease, encodeLease, encodeUnreadable, parseBackendType, parseSubnet, parseUnderlay } from "./lease.ts";

/** What flanneld --kube-subnet-mgr says of a node: annotations of its Node, and spec.podCIDRs for the subnets. */
export interface AnnotatedNode {
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly podCidrs: readonly string[];
}

/** Annotations to set; null: to remove. */
export type Annotations = Readonly<Record<string, string | null>>;

/** flanneld's default --kube-annotation-prefix. */
const PREFIX = "flannel.alpha.coreos.com/";
const MANAGED = `${PREFIX}kube-subnet-manager`;
const TYPE = `${PREFIX}backend-type`;
const families = [4, 6] as const;
const keys = {
  4: { data: `${PREFIX}backend-data`, address: `${PREFIX}public-ip` },
  6: { data: `${PREFIX}backend-v6-data`, address: `${PREFIX}public-ipv6` },
} as const;
/** The whole lease: what Flannel's annotations have no room for is read from here. */
const OWN = "twill.dev/node";
const maxLength = 1 << 16;

/** A Node of the Kubernetes API, as far as a lease is read from it (k8s.io/api core/v1). */
export interface LeasedNode {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
}

/** Encoded leases as they stand in Nodes: the codec of the kind `nodes` in a Kubernetes datastore. */
export const nodeLeases = {
  /** Never throws: what cannot be meant becomes an object whose decoding (decodeLease) tells why. */
  read(node: LeasedNode): Uint8Array | undefined {
    try {
      const lease = parseNodeAnnotations(annotated(node));
      return lease && encodeLease(lease);
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      return encodeUnreadable(`${error.object}: ${error.message}`);
    }
  },
  /** @throws TwillError as decodeLease does. */
  annotations: (value: Uint8Array | undefined): Annotations =>
    formatNodeAnnotations(value === undefined ? undefined : decodeLease(value)),
};

export const annotated = ({ metadata, spec }: LeasedNode): AnnotatedNode => ({
  name: metadata.name,
  annotations: metadata.annotations ?? {},
  podCidrs: spec?.podCIDRs ?? (spec?.podCIDR === undefined || spec.podCIDR === "" ? [] : [spec.podCIDR]),
});

/** The subnets are not among them: those are the Node's podCIDRs. `undefined`: removes what a lease had set. */
export function formatNodeAnnotations(lease: Lease | undefined): Annotations {
  const set = lease !== undefined;
  return {
    [MANAGED]: set ? "true" : null,
    [TYPE]: set ? lease.backendType : null,
    [OWN]: set ? new TextDecoder().decode(encodeLease(lease)) : null,
    ...Object.fromEntries(families.flatMap((family) => formatFamily(lease, family))),
  };
}

function formatFamily(lease: Lease | undefined, family: Family): readonly (readonly [string, string | null])[] {
  const address = lease?.addresses.find((each) => familyOf(each) === family);
  // flanneld writes "null" for a backend that has no data, and reads nothing else as JSON.
  const data = address === undefined ? null : JSON.stringify(lease?.backendData[family] ?? null);
  return [
    [keys[family].data, data],
    [keys[family].address, address ?? null],
  ];
}

/** Some agent keeps this Node's network: flanneld's or ours. */
export const isManaged = ({ annotations }: Pick<AnnotatedNode, "annotations">): boolean =>
  annotations[MANAGED] === "true";

/**
 * The lease of a node that runs flanneld or Twill; undefined when it runs neither, or has no subnet yet. A podCIDR of a
 * family in which it has no address is left out: nobody could reach it. IPv4 comes first.
 * @throws TwillError `corrupt` for annotations that cannot be meant.
 */
export function parseNodeAnnotations(node: AnnotatedNode): Lease | undefined {
  if (!isManaged(node)) return undefined;
  const cidrs = parsePodCidrs(node);
  const claimed = cidrs.length === 0 ? decodeOwn(node)?.subnets : undefined;
  if (cidrs.length === 0 && claimed === undefined) return undefined;
  const addresses = families.flatMap((family) => readAddress(node, family) ?? []);
  if (addresses.length === 0) throw corrupt(node, keys[4].address, "the node has no address");
  const reachable = new Set(addresses.map(familyOf));
  const lease = {
    node: read(node, "metadata.name", () => parseNodeName(node.name)),
    subnets: claimed ?? cidrs.filter((subnet) => reachable.has(prefixFamily(subnet))),
    addresses,
    backendType: read(node, TYPE, () => parseBackendType(node.annotations[TYPE] ?? "")),
    backendData: { ...readData(node, 4), ...readData(node, 6) },
  };
  return { ...lease, ...readOwn(node, lease) };
}

/** IPv4 first, at most one a family. @throws TwillError `corrupt` for what cannot be a node's subnets. */
export function parsePodCidrs(node: Pick<AnnotatedNode, "name" | "podCidrs">): readonly Prefix[] {
  const subnets = node.podCidrs.map((text) => read(node, "spec.podCIDRs", () => parseSubnet(text)));
  if (new Set(subnets.map(prefixFamily)).size !== subnets.length) {
    throw corrupt(node, "spec.podCIDRs", "two subnets of one family");
  }
  return subnets.sort((a, b) => prefixFamily(a) - prefixFamily(b));
}

/** Addresses by which the node's administrator wants the others to reach it, whatever its interfaces say. @throws TwillError `corrupt`. */
export function overwrittenAddresses(node: Pick<AnnotatedNode, "name" | "annotations">): readonly Address[] {
  return families.flatMap((family) => readAddress({ ...node, podCidrs: [] }, family, "-overwrite") ?? []);
}

function readAddress(node: AnnotatedNode, family: Family, suffix = ""): Address | undefined {
  const key = `${keys[family].address}${suffix}`;
  const text = node.annotations[key];
  if (text === undefined || text === "") return undefined;
  const address = read(node, key, () => parseUnderlay(text));
  if (familyOf(address) !== family) throw corrupt(node, key, `${address} is not an IPv${family} address`);
  return address;
}

function readData(node: AnnotatedNode, family: Family): Partial<Record<Family, unknown>> {
  const text = node.annotations[keys[family].data];
  if (text === undefined || text === "") return {};
  const source = describe(node, keys[family].data);
  const data = plainValue(parseJson(text, { source, code: "corrupt", maxLength, maxDepth: 16 }).root);
  return data === null ? {} : { [family]: data };
}

/** What only Twill says: while the rest is still what it wrote, for a flanneld may have taken the node over since. */
function readOwn(node: AnnotatedNode, lease: Lease): Partial<Lease> {
  const own = decodeOwn(node);
  if (own === undefined || own.backendType !== lease.backendType || !same(own, lease)) return {};
  const { id, underlays, peerPort, underlayMtu, standing } = own;
  return {
    ...(id && { id }),
    ...(underlays && { underlays }),
    ...(peerPort && { peerPort }),
    ...(underlayMtu && { underlayMtu }),
    ...(standing && { standing }),
  };
}

/** Undefined as well for one of a later Twill, or damaged: the node is reached by what Flannel's annotations say. */
function decodeOwn({ name, annotations }: AnnotatedNode): Lease | undefined {
  const text = annotations[OWN];
  if (text === undefined) return undefined;
  try {
    const own = decodeLease(new TextEncoder().encode(text));
    return own.node === name ? own : undefined;
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
}

const same = (own: Lease, { addresses }: Lease): boolean =>
  [...own.addresses].sort().join() === [...addresses].sort().join();

function read<T>(node: Named, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof TwillError) throw corrupt(node, what, cause.message, cause);
    throw cause;
  }
}

type Named = Pick<AnnotatedNode, "name">;
const describe = (node: Named, what: string): string => `Node ${node.name.slice(0, 253)}: ${what}`;

const corrupt = (node: Named, what: string, message: string, cause?: unknown): TwillError =>
  new TwillError("corrupt", message, {
    operation: "read",
    object: describe(node, what),
    remedy: "restart the network agent on that node, which writes its annotations anew",
    cause,
  });
