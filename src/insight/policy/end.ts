import { type Address, familyOf, tryAddress } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import type { EndpointName, PolicyModel, PolicyNode, WorkloadEndpoint } from "../../model/policy.ts";

/** One end of a flow, as a person named it. */
export type End =
  | {
      readonly kind: "pod";
      readonly name: EndpointName;
      readonly pod: WorkloadEndpoint;
      readonly addresses: readonly Address[];
    }
  | { readonly kind: "node"; readonly name: string; readonly node: PolicyNode; readonly addresses: readonly Address[] }
  | { readonly kind: "outside"; readonly name: string; readonly addresses: readonly Address[] };

/** There is no policy, so nobody follows who is who: what the runtime knows of a pod is all there is, and nothing is asked about it. */
export const podWithoutPolicy = (namespace: string, pod: string, node: string, addresses: readonly Address[]): End => ({
  kind: "pod",
  name: `${namespace}/${pod}`,
  pod: { namespace, pod, node, addresses, labels: {}, ports: [] },
  addresses,
});

/**
 * A pod by "namespace/name", or by its name alone, where that is unique or in the default namespace; a node's name; an address of
 * anybody; "outside".
 * @throws TwillError `not-found`; `invalid` for a name that several pods have, telling which.
 */
export function findEnd(model: PolicyModel, text: string, defaultNamespace = "default"): End {
  const address = tryAddress(text);
  if (address !== undefined) return ownerOf(model, address);
  if (text === "outside") return { kind: "outside", name: "outside", addresses: someStrangers };
  const exact =
    podNamed(model, text) ?? (text.includes("/") ? undefined : podNamed(model, `${defaultNamespace}/${text}`));
  if (exact !== undefined) return exact;
  const node = model.nodes.get(text.replace(/^node\//, ""));
  if (node !== undefined) return { kind: "node", name: node.name, node, addresses: node.addresses };
  const names = [...model.endpoints].flatMap(([name, { pod }]) => (pod === text ? [name] : []));
  const [only] = names;
  if (only !== undefined && names.length === 1) return podNamed(model, only) ?? nobody(text);
  if (names.length > 1) {
    throw new TwillError("invalid", `several pods are called ${text}`, {
      remedy: `say which: ${names.slice(0, 4).join(", ")}`,
    });
  }
  return nobody(text);
}

function nobody(text: string): never {
  throw new TwillError("not-found", `there is no pod and no node ${text}`, {
    remedy: "write NAMESPACE/POD, an address, node/NAME or outside; twill get pods lists them",
  });
}

/** One public address of each family (RFC 5737, RFC 3849: documentation), which no cluster has. */
const someStrangers = ["192.0.2.1" as Address, "2001:db8::1" as Address];

function podNamed(model: PolicyModel, name: EndpointName): End | undefined {
  const pod = model.endpoints.get(name);
  return pod && { kind: "pod", name, pod, addresses: pod.addresses };
}

function ownerOf(model: PolicyModel, address: Address): End {
  for (const [name, pod] of model.endpoints)
    if (pod.addresses.includes(address)) return { kind: "pod", name, pod, addresses: [address] };
  for (const node of model.nodes.values())
    if (node.addresses.includes(address)) return { kind: "node", name: node.name, node, addresses: [address] };
  return { kind: "outside", name: address, addresses: [address] };
}

/** An address of each, of one family: IPv4 where both have it. @throws TwillError `invalid`. */
export function addressesBetween(from: End, to: End): readonly [source: Address, destination: Address] {
  for (const family of [4, 6]) {
    const [source, destination] = [from, to].map(({ addresses }) => addresses.find((one) => familyOf(one) === family));
    if (source !== undefined && destination !== undefined) return [source, destination];
  }
  const [without] = [from, to].filter(({ addresses }) => addresses.length === 0);
  throw new TwillError(
    "invalid",
    without === undefined
      ? `${from.name} and ${to.name} have no address of one family`
      : `${without.name} has no address yet: it has not started, or is not on the pod network`,
    { remedy: "twill get pods -o wide shows their addresses" },
  );
}
