import { type Address, type Family, familyOf } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { parseJson, plainValue } from "../../base/json.ts";
import { prefixFamily } from "../../base/prefix.ts";
import type { Lease } from "../../model/network.ts";
import { parseNodeName } from "../subdomain.ts";
import { decodeLease, encodeLease, parseBackendType, parseSubnet, parseUnderlay } from "./lease.ts";

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

/**
 * The lease of a node that runs flanneld or Twill; undefined when it runs neither, or has no subnet yet.
 * @throws TwillError `corrupt` for annotations that cannot be meant.
 */
export function parseNodeAnnotations(node: AnnotatedNode): Lease | undefined {
  const { annotations, podCidrs } = node;
  if (annotations[MANAGED] !== "true" || podCidrs.length === 0) return undefined;
  const subnets = podCidrs.map((text) => read(node, "spec.podCIDRs", () => parseSubnet(text)));
  const addresses = families.flatMap((family) => readAddress(node, family) ?? []);
  if (addresses.length === 0) throw corrupt(node, keys[4].address, "the node has no address");
  if (new Set(subnets.map(prefixFamily)).size !== subnets.length) {
    throw corrupt(node, "spec.podCIDRs", "two subnets of one family");
  }
  const backendType = read(node, TYPE, () => parseBackendType(annotations[TYPE] ?? ""));
  const lease = {
    node: read(node, "metadata.name", () => parseNodeName(node.name)),
    subnets,
    addresses,
    backendType,
    backendData: { ...readData(node, 4), ...readData(node, 6) },
  };
  return { ...lease, ...readOwn(node, lease) };
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
function readOwn({ annotations }: AnnotatedNode, lease: Lease): Partial<Lease> {
  const text = annotations[OWN];
  if (text === undefined) return {};
  try {
    const own = decodeLease(new TextEncoder().encode(text));
    const current = own.node === lease.node && own.backendType === lease.backendType && same(own, lease);
    if (!current) return {};
    const { id, underlays, peerPort } = own;
    return { ...(id && { id }), ...(underlays && { underlays }), ...(peerPort && { peerPort }) };
  } catch (error) {
    // Of a later Twill, or damaged: the node is reached by what Flannel's annotations say.
    if (error instanceof TwillError) return {};
    throw error;
  }
}

const same = (own: Lease, { addresses }: Lease): boolean =>
  [...own.addresses].sort().join() === [...addresses].sort().join();

function read<T>(node: AnnotatedNode, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof TwillError) throw corrupt(node, what, cause.message, cause);
    throw cause;
  }
}

const describe = (node: AnnotatedNode, what: string): string => `Node ${node.name.slice(0, 253)}: ${what}`;

const corrupt = (node: AnnotatedNode, what: string, message: string, cause?: unknown): TwillError =>
  new TwillError("corrupt", message, {
    operation: "read",
    object: describe(node, what),
    remedy: "restart the network agent on that node, which writes its annotations anew",
    cause,
  });
