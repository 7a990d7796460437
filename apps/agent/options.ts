import { hostname } from "node:os";
import { type Address, tryAddress } from "../../src/base/address.ts";
import { TwillError } from "../../src/base/errors.ts";
import { levels } from "../../src/base/log.ts";
import { procSysNet } from "../../src/kernel/sysctl.ts";
import { checkServer } from "../../src/store/kubernetes/kubeconfig.ts";
import { defaultCniConfDir, defaultDatastore, defaultRunDir, defaultStateDir, defaultSubnetFile } from "../defaults.ts";
import { boolean, choice, type FlagValues, list, number, optional, parseFlags, text } from "../flags.ts";

/** Names and defaults are flanneld's where flanneld has the flag; FLANNELD_<FLAG> in the environment counts too. */
export const agentFlags = {
  nodeName: optional("name of this node in the cluster (default: the host name)", "NAME"),
  datastore: text(
    defaultDatastore,
    "where the cluster's state lives: embedded:FILE; kubernetes: in a pod, kubernetes:KUBECONFIG elsewhere",
    "URL",
  ),
  apiServer: optional(
    "address of the API server for --datastore=kubernetes:, which need not be the Service `kubernetes` then",
    "URL",
  ),
  netConfigPath: optional("read the network's configuration from this net-conf.json instead of the datastore", "FILE"),
  iface: list(
    "underlay interface, by name or address; the first that exists (default: that of the default route)",
    "NAME",
  ),
  ifaceRegex: list("underlay interface by regular expression over names and addresses, tried after --iface", "REGEX"),
  ifaceCanReach: optional("underlay interface through which this address is reached", "IP"),
  publicIp: optional("IPv4 address that other nodes shall use (default: the interface's)", "IP"),
  publicIpv6: optional("IPv6 address that other nodes shall use (default: the interface's)", "IP"),
  subnets: choice(
    "node",
    ["node", "claim"] as const,
    "with a Kubernetes datastore: take the Node's podCIDRs, or claim subnets as elsewhere (no --allocate-node-cidrs)",
  ),
  subnetFile: text(defaultSubnetFile, "where the node's subnet is written for other programs", "FILE"),
  subnetLeaseRenewMargin: number(60, "minutes before its expiry at which the subnet's lease is renewed", [1, 1439]),
  ipMasq: boolean(true, "masquerade what pods send to the outside"),
  attachment: choice(
    "routed",
    ["routed", "bridge", "foreign"] as const,
    "how pods are joined to the node; foreign: by another pod network, and Twill enforces policy alone",
  ),
  policy: choice("on", ["on", "off"] as const, "whether NetworkPolicy and ClusterNetworkPolicy are enforced"),
  policyEstablished: choice(
    "keep",
    ["keep", "recheck"] as const,
    "connections that a change of policy would no longer let begin: keep them, or cut exactly those",
  ),
  policyDenied: choice(
    "drop",
    ["drop", "reject"] as const,
    "denied packets: drop them in silence, or say so (TCP reset, ICMP administratively prohibited)",
  ),
  policyUnknown: choice(
    "closed",
    ["closed", "open"] as const,
    "what becomes of a pod whose labels cannot be read while there are policies: denied both ways, or open",
  ),
  cniConfDir: text(defaultCniConfDir, "where the CNI configuration is installed once the agent is ready", "DIR"),
  cniChain: list("CNI plugins to run after ours: portmap, bandwidth, tuning", "NAME"),
  cniVersion: choice(
    "auto",
    ["auto", "1.0.0", "1.1.0"] as const,
    "version of the CNI configuration; auto: 1.1.0, but 1.0.0 with --cni-chain, for old plugins know no later one",
  ),
  healthzIp: text("127.0.0.1", "address of /healthz, /readyz and /metrics", "IP"),
  healthzPort: number(9099, "port of /healthz, /readyz and /metrics; 0: off", [0, 65535]),
  peerPort: number(
    9098,
    "port on which agents measure each other (UDP) and ask each other for twill doctor (TCP); 0: off",
    [0, 65535],
  ),
  flowLog: choice(
    "all",
    ["all", "policy", "denied", "off"] as const,
    "what `twill flows` tells: all connections of this node's pods, those that a policy decided, denied ones alone, nothing",
  ),
  flowHistory: number(64, "MiB of the disk that flows may take; 0: the last ones are kept in memory", [0, 65_536]),
  shareFlows: boolean(true, "tell other nodes' agents of all flows; else of those with an end of theirs"),
  allowExtensionCommands: boolean(
    false,
    "allow the backend `extension`, whose commands come from the configuration and run as root",
  ),
  addressReuseDelay: number(30, "seconds before a released pod address may be given out again", [0, 86400]),
  stateDir: text(defaultStateDir, "what must survive a restart", "DIR"),
  runDir: text(defaultRunDir, "the agent's socket", "DIR"),
  bootIdFile: text("/proc/sys/kernel/random/boot_id", "changes with each boot: containers do not survive one", "FILE"),
  sysctlDir: text(
    procSysNet,
    "where /proc/sys/net can be written: a container's own is read-only, so the host's is mounted elsewhere",
    "DIR",
  ),
  logLevel: choice("info", levels, "how much is logged; `twill log-level` changes it at run time"),
  logFormat: choice("text", ["text", "json"] as const, "one line of text or of JSON per message"),
} as const;

type Flags = FlagValues<typeof agentFlags>;

export interface AgentOptions
  extends Omit<Flags, "nodeName" | "apiServer" | "publicIp" | "publicIpv6" | "ifaceCanReach"> {
  readonly nodeName: string;
  readonly publicIp: Address | undefined;
  readonly publicIpv6: Address | undefined;
  readonly ifaceCanReach: Address | undefined;
}

/** @throws TwillError `invalid` naming the flag and the value. */
export function agentOptions(
  argv: readonly string[],
  variables: Readonly<Record<string, string | undefined>>,
): AgentOptions {
  const translated: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(variables)) {
    if (name.startsWith("FLANNELD_")) translated[name.replace("FLANNELD_", "TWILL_")] = value;
  }
  const known = new Set(
    Object.keys(agentFlags).map((key) => `TWILL_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`),
  );
  for (const name of Object.keys(translated)) if (!known.has(name)) delete translated[name];
  const { flags, rest } = parseFlags(agentFlags, argv, { prefix: "TWILL", variables: { ...translated, ...variables } });
  if (rest.length > 0)
    throw new TwillError("invalid", `"${rest[0]}" is not a flag`, { remedy: "twill-agent --help lists them" });

  const nodeName = flags.nodeName ?? hostname().toLowerCase();
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(nodeName)) {
    throw new TwillError("invalid", `--node-name: "${nodeName}" is not a valid node name`, {
      remedy: "use lower-case letters, digits, '-' and '.', as Kubernetes does",
    });
  }
  for (const pattern of flags.ifaceRegex) checkPattern(pattern);
  return {
    ...flags,
    nodeName,
    datastore: datastoreUrl(flags),
    publicIp: address("--public-ip", flags.publicIp, 4),
    publicIpv6: address("--public-ipv6", flags.publicIpv6, 6),
    ifaceCanReach: address("--iface-can-reach", flags.ifaceCanReach),
  };
}

function datastoreUrl({ datastore, apiServer }: Flags): string {
  if (apiServer === undefined || apiServer === "") return datastore;
  if (!datastore.startsWith("kubernetes:"))
    throw new TwillError("invalid", "--api-server is for --datastore=kubernetes: only");
  return `${datastore}${datastore.includes("?") ? "&" : "?"}server=${checkServer(apiServer, "--api-server")}`;
}

function address(flag: string, given: string | undefined, family?: 4 | 6): Address | undefined {
  if (given === undefined || given === "") return undefined;
  const parsed = tryAddress(given);
  if (parsed === undefined || (family !== undefined && parsed.includes(":") !== (family === 6))) {
    throw new TwillError(
      "invalid",
      `${flag}: "${given}" is not an IP${family === undefined ? "" : `v${family}`} address`,
    );
  }
  return parsed;
}

function checkPattern(pattern: string): void {
  try {
    new RegExp(pattern);
  } catch (error) {
    throw new TwillError("invalid", `--iface-regex: "${pattern}" is not a regular expression`, { cause: error });
  }
}
