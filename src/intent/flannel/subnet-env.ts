import type { Family } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import {
  addressAt,
  covers,
  lengthOf,
  type Prefix,
  parseInterfaceAddress,
  parseStrictPrefix,
  prefixFamily,
  prefixOf,
} from "../../base/prefix.ts";

/** What Flannel tells its CNI plugin and whoever else reads /run/flannel/subnet.env. */
export interface SubnetEnv {
  readonly ipv4?: NodeSubnet;
  readonly ipv6?: NodeSubnet;
  /** Of the pods, bytes. */
  readonly mtu: number;
  /** Whether flanneld masquerades, so that the CNI plugin need not. */
  readonly masquerade: boolean;
}

export interface NodeSubnet {
  /** The cluster's. */
  readonly network: Prefix;
  /** This node's. */
  readonly subnet: Prefix;
}

/** In Flannel's order, so that files compare. FLANNEL_SUBNET carries the subnet's first address, the bridge's. */
export function formatSubnetEnv({ ipv4, ipv6, mtu, masquerade }: SubnetEnv): string {
  const lines = [
    ...(ipv4 === undefined ? [] : [`FLANNEL_NETWORK=${ipv4.network}`, `FLANNEL_SUBNET=${gatewayOf(ipv4.subnet)}`]),
    ...(ipv6 === undefined
      ? []
      : [`FLANNEL_IPV6_NETWORK=${ipv6.network}`, `FLANNEL_IPV6_SUBNET=${gatewayOf(ipv6.subnet)}`]),
    `FLANNEL_MTU=${mtu}`,
    `FLANNEL_IPMASQ=${masquerade}`,
  ];
  return `${lines.join("\n")}\n`;
}

const gatewayOf = (subnet: Prefix): string => `${addressAt(subnet, 1n)}/${lengthOf(subnet)}`;

/** @throws TwillError `invalid` naming file, line or variable. Unknown variables are left alone. */
export function parseSubnetEnv(text: string, source = "subnet.env"): SubnetEnv {
  const variables = readVariables(text, source);
  const ipv4 = readFamily(4, "FLANNEL_NETWORK", "FLANNEL_SUBNET", variables, source);
  const ipv6 = readFamily(6, "FLANNEL_IPV6_NETWORK", "FLANNEL_IPV6_SUBNET", variables, source);
  if (ipv4 === undefined && ipv6 === undefined) {
    throw wrong(source, "FLANNEL_SUBNET", "neither FLANNEL_SUBNET nor FLANNEL_IPV6_SUBNET is there");
  }
  const mtu = variables.get("FLANNEL_MTU") ?? "";
  if (!/^[1-9][0-9]{1,4}$/.test(mtu) || Number(mtu) < 68 || Number(mtu) > 65535) {
    throw wrong(source, "FLANNEL_MTU", `"${mtu}" is not an MTU`);
  }
  const masquerade = variables.get("FLANNEL_IPMASQ") ?? "false";
  if (masquerade !== "true" && masquerade !== "false") {
    throw wrong(source, "FLANNEL_IPMASQ", `"${masquerade}" is not true or false`);
  }
  return {
    ...(ipv4 !== undefined && { ipv4 }),
    ...(ipv6 !== undefined && { ipv6 }),
    mtu: Number(mtu),
    masquerade: masquerade === "true",
  };
}

function wrong(source: string, object: string, message: string, cause?: unknown): TwillError {
  return new TwillError("invalid", message, {
    operation: "read",
    object: `${source}: ${object}`,
    remedy: "remove the file; the agent writes it anew",
    cause,
  });
}

/** The file is also sourced by shells and systemd, so blank lines, comments and quotes are at home in it. */
function readVariables(text: string, source: string): ReadonlyMap<string, string> {
  if (text.length > 65536) throw wrong(source, "file", `${text.length} characters long`);
  const variables = new Map<string, string>();
  for (const [index, line] of text.split("\n").entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const match = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(?:"([^"]*)"|([^"\s]*))$/.exec(trimmed);
    const name = match?.[1];
    if (name === undefined) throw wrong(source, `line ${index + 1}`, "not of the form NAME=VALUE");
    if (variables.has(name)) throw wrong(source, `line ${index + 1}`, `${name} stands twice`);
    variables.set(name, match?.[2] ?? match?.[3] ?? "");
  }
  return variables;
}

function readFamily(
  family: Family,
  networkName: string,
  subnetName: string,
  variables: ReadonlyMap<string, string>,
  source: string,
): NodeSubnet | undefined {
  const subnetText = variables.get(subnetName);
  const networkText = variables.get(networkName);
  if (subnetText === undefined && networkText === undefined) return undefined;
  if (subnetText === undefined) throw wrong(source, subnetName, "it is missing");
  if (networkText === undefined) throw wrong(source, networkName, "it is missing");
  const network = readPrefix(source, networkName, () => parseStrictPrefix(networkText));
  const subnet = readPrefix(source, subnetName, () => {
    const { address, length } = parseInterfaceAddress(subnetText);
    return prefixOf(address, length);
  });
  if (prefixFamily(subnet) !== family || !covers(network, subnet)) {
    throw wrong(source, subnetName, `${subnet} is not an IPv${family} subnet of ${network}`);
  }
  return { network, subnet };
}

function readPrefix(source: string, name: string, parse: () => Prefix): Prefix {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof TwillError) throw wrong(source, name, cause.message, cause);
    throw cause;
  }
}
