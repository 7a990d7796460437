import { familyOf } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import { type Prefix, prefixFamily } from "../../base/prefix.ts";
import type { Lease } from "../../model/network.ts";
import { plain, readObject, rootOf, text } from "../schema.ts";
import { parseBackendType, parseSubnet, parseUnderlay, subnetOf } from "./lease.ts";

/**
 * A lease as flanneld keeps it in etcd: `<prefix>/subnets/10.5.52.0-24` (dual stack: `10.5.52.0-24&fd00:5:52::-64`) =
 * {"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{…}}. Names and order are those of
 * Flannel's Documentation/reservations.md; BackendData is left out where the backend has none.
 */
export interface EtcdLease {
  /** The last part of the key. */
  readonly key: string;
  readonly value: string;
}

/** @throws TwillError `invalid` for a lease that Flannel has no place for: two subnets of one family. */
export function formatEtcdLease(lease: Lease): EtcdLease {
  const v4 = subnetOf(lease.subnets, 4);
  const v6 = subnetOf(lease.subnets, 6);
  if (lease.subnets.length === 0 || lease.subnets.some((subnet) => subnet !== v4 && subnet !== v6)) {
    throw new TwillError("invalid", `Flannel keeps one subnet a family, not ${lease.subnets.join(", ") || "none"}`);
  }
  const value = {
    // Flannel has no null for IPv4: 0.0.0.0 is its absent address.
    PublicIP: lease.addresses.find((address) => familyOf(address) === 4) ?? "0.0.0.0",
    PublicIPv6: lease.addresses.find((address) => familyOf(address) === 6) ?? null,
    BackendType: lease.backendType === "" ? undefined : lease.backendType,
    BackendData: lease.backendData[4],
    BackendV6Data: lease.backendData[6],
  };
  return { key: keyOf(v4, v6), value: JSON.stringify(value) };
}

const keyPart = (subnet: Prefix): string => subnet.replace("/", "-");

function keyOf(v4: Prefix | undefined, v6: Prefix | undefined): string {
  const first = v4 === undefined ? "0.0.0.0-0" : keyPart(v4);
  return v6 === undefined ? first : `${first}&${keyPart(v6)}`;
}

const fields = {
  PublicIP: text({ meaning: "Underlay address of the node." }),
  PublicIPv6: text({ meaning: "IPv6 underlay address of the node.", parse: parseUnderlay }),
  BackendType: text({ meaning: "Backend that it runs.", parse: parseBackendType }),
  BackendData: plain({ meaning: "What that backend tells its peers." }),
  BackendV6Data: plain({ meaning: "What that backend tells its IPv6 peers." }),
};

/** The node is named by its address: flanneld's leases in etcd carry no name. @throws TwillError `corrupt`. */
export function parseEtcdLease({ key, value }: EtcdLease): Lease {
  const subnets = parseEtcdLeaseKey(key);
  const source = `Flannel's lease ${key}`;
  const root = rootOf(parseJson(value, { source, code: "corrupt", maxLength: 1 << 16, maxDepth: 16 }));
  const { values, at } = readObject(fields, root, { anyCase: true, unknown: "ignore" });
  const absent = values.PublicIP === undefined || values.PublicIP === "0.0.0.0" || values.PublicIP === "";
  const publicIp = absent ? undefined : text({ parse: parseUnderlay }).read(at("PublicIP"));
  const addresses = [publicIp, values.PublicIPv6].filter((address) => address !== undefined);
  const [first] = addresses;
  if (first === undefined || new Set(addresses.map(familyOf)).size !== addresses.length) {
    throw corrupt(key, "it has no address of the node, or two of one family");
  }
  return {
    // Colons may not stand in a node's name.
    node: first.replace(/^::/, "0::").replace(/::$/, "::0").replaceAll(":", "-"),
    subnets,
    addresses,
    backendType: values.BackendType ?? "",
    backendData: {
      ...(values.BackendData !== undefined && { 4: values.BackendData }),
      ...(values.BackendV6Data !== undefined && { 6: values.BackendV6Data }),
    },
  };
}

/** @throws TwillError `corrupt` when no lease of Flannel's has that key. */
export function parseEtcdLeaseKey(key: string): readonly Prefix[] {
  const parts = key.split("&");
  const subnets = parts.filter((part, index) => index > 0 || part !== "0.0.0.0-0").map((part) => parsePart(key, part));
  const families = subnets.map(prefixFamily).join("");
  const expected = parts[0] === "0.0.0.0-0" ? "6" : parts.length === 1 ? "4" : "46";
  if (families !== expected) throw corrupt(key, "not one IPv4 subnet, or one and an IPv6 subnet");
  return subnets;
}

function parsePart(key: string, part: string): Prefix {
  const match = /^([0-9a-fA-F.:]+)-([0-9]{1,3})$/.exec(part);
  if (match === null) throw corrupt(key, `"${part.slice(0, 80)}" is not ADDRESS-LENGTH`);
  try {
    return parseSubnet(`${match[1]}/${match[2]}`);
  } catch (cause) {
    if (cause instanceof TwillError) throw corrupt(key, cause.message, cause);
    throw cause;
  }
}

function corrupt(key: string, message: string, cause?: unknown): TwillError {
  return new TwillError("corrupt", message, {
    operation: "read",
    object: `Flannel's lease ${key.slice(0, 120)}`,
    remedy: "delete the key in etcd; its node writes it anew",
    cause,
  });
}
