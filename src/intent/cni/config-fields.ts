import { parseAddress } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { isMulticast, parseMac } from "../../base/mac.ts";
import { parseInterfaceAddress, parseStrictPrefix } from "../../base/prefix.ts";
import { parseInterfaceName } from "../interface-name.ts";
import { anything, boolean, choice, integer, list, object, plain, required, text } from "../schema.ts";
import { containerIdProblem } from "./environment.ts";
import { dnsFields, routeFields } from "./read-result.ts";

export const attachmentTypes = ["routed", "bridge", "macvlan"] as const;
export type AttachmentType = (typeof attachmentTypes)[number];

/** One range of addresses, in host-local's words. */
export const rangeFields = {
  subnet: text({ type: "IP network", meaning: "Network of the addresses.", parse: parseStrictPrefix }),
  rangeStart: text({
    type: "IP address",
    default: "first of `subnet`",
    meaning: "First address to give out.",
    parse: parseAddress,
  }),
  rangeEnd: text({
    type: "IP address",
    default: "last of `subnet`",
    meaning: "Last address to give out.",
    parse: parseAddress,
  }),
  gateway: text({
    type: "IP address",
    default: "first of `subnet`",
    meaning: "The network's router; never given out.",
    parse: parseAddress,
  }),
};

const rangeSets = list({
  of: list({ of: object({ fields: rangeFields }), max: 64 }),
  max: 16,
  meaning: "Several addresses: the outer list has an entry for each address, the inner one the ranges to take it from.",
});

export const ipamFields = {
  type: text({ default: '"twill"', meaning: 'Only "twill": the agent gives out the addresses itself.' }),
  ...rangeFields,
  ranges: rangeSets,
  routes: list({
    of: object({ fields: { dst: routeFields.dst, gw: routeFields.gw } }),
    max: 256,
    meaning: "Routes of the pod, each `dst` and, where it is not the range's gateway, `gw`.",
  }),
};

/** What a runtime fills in for the capabilities that the configuration claims (CONVENTIONS.md). */
const runtimeFields = {
  ips: list({ of: text({ type: "IP address", parse: parseRequested }), max: 16 }),
  mac: text({ type: "Ethernet address", parse: parseUnicast }),
  ipRanges: rangeSets,
  dns: object({ fields: { servers: dnsFields.nameservers, searches: dnsFields.search, options: dnsFields.options } }),
};

const attachments = list({
  of: object({
    unknown: "ignore",
    fields: {
      containerID: required(text({ parse: parseContainerId })),
      ifname: required(text({ parse: parseInterfaceName })),
    },
  }),
  max: 65536,
});

const argsOfCni = object({ fields: { ips: runtimeFields.ips }, unknown: "ignore" });

/** What a person may write into a plugin's entry of a CNI configuration list. */
export const pluginFields = {
  type: required(text({ meaning: '`"twill-cni"`, the name of the executable.' })),
  attachment: choice({ of: attachmentTypes, absent: "routed", meaning: "How the pod is joined to its node." }),
  mtu: integer({
    min: 68,
    max: 65535,
    default: "what the backend leaves; macvlan: that of `master`",
    meaning: "MTU of the pod's interface; at least 1280 with IPv6.",
  }),
  isDefaultGateway: boolean({
    default: "where the pod has none yet; macvlan: false",
    meaning: "Give the pod its default route through this interface.",
  }),
  bridge: text({
    type: "interface name",
    default: '"cni0"',
    meaning: "Attachment bridge: the bridge on the node, made when it is not there.",
    parse: parseInterfaceName,
  }),
  hairpinMode: boolean({
    default: "false",
    meaning: "Attachment bridge: let a pod reach itself through a Service.",
  }),
  master: text({
    type: "interface name",
    default: "required with macvlan",
    meaning: "Attachment macvlan: the node's interface that the pod shares.",
    parse: parseInterfaceName,
  }),
  mode: choice({
    of: ["bridge", "private", "vepa", "passthru"] as const,
    default: '"bridge"',
    meaning: "Attachment macvlan: how pods on one `master` see each other.",
  }),
  ipam: object({
    fields: ipamFields,
    default: "the node's subnet; required with macvlan",
    meaning: "Addresses of a network of its own, see below.",
  }),
  socket: text({
    default: '"/run/twill/agent.sock"',
    meaning: "The agent's socket.",
    parse: parseSocket,
  }),
  dns: object({ fields: dnsFields, meaning: "Handed through to the result: nameservers, domain, search, options." }),
  capabilities: plain({ meaning: "What the runtime may fill in: `ips`, `mac`, `ipRanges` and `dns` are understood." }),
  args: object({
    fields: { cni: argsOfCni },
    unknown: "ignore",
    meaning: "Further wishes; `args.cni.ips` asks for addresses, the rest is left alone.",
  }),
};

/** All that may stand on stdin: what a runtime adds is not for people to write. */
export const configFields = {
  ...pluginFields,
  cniVersion: text(),
  cniVersions: list({ of: text(), max: 64 }),
  name: required(text({ parse: parseNetworkName })),
  runtimeConfig: object({ fields: runtimeFields, unknown: "ignore" }),
  prevResult: anything(),
  "cni.dev/valid-attachments": attachments,
  "cni.dev/attachments": attachments,
};

/** Fields of the specification or of the reference plugins that people may expect here, and what holds instead. */
export const unsupportedFields: Readonly<Record<string, string>> = {
  vlan: "VLANs come in a later version of Twill; use a VLAN device as master",
  ipMasq: "the agent masquerades for all pods; see its flag --ip-masq",
  isGateway: "use isDefaultGateway",
  forceAddress: "remove it",
  promiscMode: "use hairpinMode",
  linkInContainer: "the master is looked up on the node",
  delegate: 'write its fields here; "delegate" is of Flannel\'s own plugin',
  subnetFile: "the agent knows the node's subnet; remove it",
};

function parseNetworkName(name: string): string {
  if (/^[a-zA-Z0-9][-a-zA-Z0-9_.]{0,199}$/.test(name)) return name;
  throw new TwillError("invalid", `${JSON.stringify(name.slice(0, 80))} is not a network name`, {
    remedy: "begin with a letter or digit, and use letters, digits, _, . and -, at most 200",
  });
}

function parseContainerId(id: string): string {
  const problem = containerIdProblem(id);
  if (problem === undefined) return id;
  throw new TwillError("invalid", `${JSON.stringify(id.slice(0, 80))} is not a container id: ${problem}`);
}

/** "10.1.2.3" or "10.1.2.3/24": the mask is the network's in any case. */
function parseRequested(written: string) {
  return written.includes("/") ? parseInterfaceAddress(written).address : parseAddress(written);
}

function parseUnicast(written: string) {
  const mac = parseMac(written);
  if (!isMulticast(mac) && mac !== "00:00:00:00:00:00") return mac;
  throw new TwillError("invalid", `${mac} is not the address of one interface`, {
    remedy: "the first byte must be even, e.g. 0e:12:34:56:78:9a",
  });
}

/** sun_path of a unix socket holds 108 bytes with its final zero (unix(7)). */
function parseSocket(path: string): string {
  if (/^\/[^\0]+$/.test(path) && new TextEncoder().encode(path).length <= 107) return path;
  throw new TwillError("invalid", `${JSON.stringify(path.slice(0, 120))} is not the path of a socket`, {
    remedy: "write an absolute path of at most 107 bytes",
  });
}
