import { type Family, familyOf } from "../../base/address.ts";
import { baseOf, lengthOf, type Prefix, parsePrefix } from "../../base/prefix.ts";
import type { Flags } from "./draft.ts";
import type { Ledger, Subject } from "./ledger.ts";

/** A setting, and where it was said. */
export interface Said {
  readonly text: string;
  readonly subject: Subject;
}

/** The settings of one pool of addresses, from an IPPool or from CALICO_IPV4POOL_… and CALICO_IPV6POOL_…. */
export type PoolSettings = Partial<Record<PoolField, Said>>;

export type PoolField =
  | "cidr"
  | "ipipMode"
  | "vxlanMode"
  | "natOutgoing"
  | "blockSize"
  | "nodeSelector"
  | "namespaceSelector"
  | "disableBGPExport"
  | "allowedUses"
  | "assignmentMode"
  | "disabled";

/** How packets cross nodes, as far as pools and calico-node say it. */
export interface Crossing {
  readonly directRouting: boolean;
  /** Calico had VXLAN itself, so its port is open between nodes. */
  readonly vxlan: boolean;
}

/** @returns undefined when the pool has no network that pods could have. */
export function poolNetwork(family: Family, { cidr }: PoolSettings, ledger: Ledger): Prefix | undefined {
  if (cidr === undefined) return undefined;
  let network: Prefix;
  try {
    network = parsePrefix(cidr.text);
  } catch {
    ledger.refuse(cidr.subject, "not a network", "there is no such network");
    return undefined;
  }
  if (familyOf(baseOf(network)) !== family) {
    ledger.refuse(cidr.subject, `not an IPv${family} network`, "there is no such network");
    return undefined;
  }
  ledger.note(
    cidr.subject,
    "carried",
    `${family === 4 ? "Network" : "EnableIPv6 and IPv6Network"} of net-conf.json; every node's podCIDR must lie in it`,
  );
  return network;
}

type Mode = "always" | "cross" | "never";

/** As calico-node reads them: any case, and the old words. */
const modes: Readonly<Record<string, Mode>> = {
  always: "always",
  crosssubnet: "cross",
  "cross-subnet": "cross",
  never: "never",
  off: "never",
  "": "never",
};

function modeOf(said: Said | undefined, ledger: Ledger): Mode | undefined {
  if (said === undefined) return undefined;
  const mode = modes[said.text.toLowerCase()];
  if (mode === undefined) ledger.refuse(said.subject, "neither Always, CrossSubnet nor Never", "it counts as Never");
  return mode;
}

/** Twill's backend for what ipipMode and vxlanMode say together; at most one of the two is on. */
export function crossingOf({ ipipMode, vxlanMode }: PoolSettings, ledger: Ledger): Crossing {
  const vxlan = modeOf(vxlanMode, ledger);
  const ipip = modeOf(ipipMode, ledger);
  const on = (mode: Mode | undefined) => mode === "always" || mode === "cross";
  if (vxlanMode !== undefined && on(vxlan)) {
    ledger.note(vxlanMode.subject, "carried", vxlan === "cross" ? "Backend vxlan with DirectRouting" : "Backend vxlan");
    if (ipipMode !== undefined && ipip !== undefined) offNote(ipipMode, ipip, "vxlan is on", ledger);
    return { directRouting: vxlan === "cross", vxlan: true };
  }
  if (vxlanMode !== undefined && vxlan === "never") ledger.note(vxlanMode.subject, "covered", "off");
  if (ipipMode !== undefined && on(ipip)) {
    const direct = ipip === "cross" ? "vxlan with DirectRouting" : "vxlan";
    const why = "IP-in-IP comes in a later version; vxlan joins the same nodes with 30 bytes more a packet";
    ledger.note(ipipMode.subject, "changed", `${direct}: ${why}. Open UDP port 8472 between nodes`);
    return { directRouting: ipip === "cross", vxlan: false };
  }
  if (ipipMode !== undefined && ipip === "never") ledger.note(ipipMode.subject, "covered", "off");
  const subject = (ipipMode ?? vxlanMode)?.subject;
  if (subject !== undefined) {
    const why = "BGP, which spread the routes, comes in a later version";
    const meaning =
      "nodes of one subnet reach each other directly as before, others through vxlan; routers outside no longer learn the pods' routes";
    ledger.note(
      { ...subject, name: "no encapsulation" },
      "changed",
      `vxlan with DirectRouting: ${why}. ${meaning}. Open UDP port 8472 between nodes`,
    );
  }
  return { directRouting: subject !== undefined, vxlan: false };
}

function offNote(said: Said, mode: Mode, because: string, ledger: Ledger): void {
  if (mode === "never") ledger.note(said.subject, "covered", "off");
  else ledger.refuse(said.subject, `Calico has one or the other, and ${because}`, "it counts as Never");
}

/**
 * SubnetLen: a node has one subnet, Calico gave it as many blocks as it needed. So a block's size says little of a subnet's, unless it is
 * larger than the usual /24.
 */
export function subnetLengthOf(network: Prefix, { blockSize }: PoolSettings, ledger: Ledger): number | undefined {
  if (blockSize === undefined) return undefined;
  const { subject, text } = blockSize;
  const [usual, widest] = network.includes(":") ? [64, 48] : [24, 20];
  const room = "with Kubernetes, podCIDR decides (--node-cidr-mask-size of kube-controller-manager)";
  const size = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (size >= widest && size < usual && size >= lengthOf(network) + 2) {
    ledger.note(subject, "carried", `SubnetLen ${size}; ${room}`);
    return size;
  }
  ledger.note(
    subject,
    "changed",
    `a node has one subnet here, a /${usual} unless the network is too small, not several blocks; ${room}`,
  );
  return undefined;
}

/** `natOutgoing`, one for both families here. @param fallback Calico's default. */
export function carryMasquerade(
  pools: readonly { readonly family: Family; readonly settings: PoolSettings }[],
  flags: Flags,
  ledger: Ledger,
): void {
  const wishes = pools.map(({ family, settings }) => ({
    said: settings.natOutgoing,
    on: isOn(settings.natOutgoing) ?? defaultOf(settings, family),
  }));
  const any = wishes.some(({ on }) => on);
  if (wishes.length > 0) flags.set("ip-masq", String(any));
  for (const { said, on } of wishes) {
    if (said === undefined) continue;
    if (on === any) ledger.note(said.subject, "carried", `--ip-masq=${any}`);
    else
      ledger.note(said.subject, "changed", `--ip-masq=${any} holds for both families: IPv6 pods are masqueraded, too`);
  }
}

const isOn = (said: Said | undefined): boolean | undefined =>
  said === undefined || said.text === ""
    ? undefined
    : ["true", "1", "yes", "y", "on", "t"].includes(said.text.toLowerCase());

/** calico-node makes IPv4 pools with natOutgoing and IPv6 pools without; an IPPool object that is silent has it off. */
const defaultOf = ({ cidr }: PoolSettings, family: Family): boolean =>
  family === 4 && !cidr?.subject.object.startsWith("IPPool ");

/** The settings that have no place here. */
export function nameOthers(settings: PoolSettings, ledger: Ledger): void {
  const { nodeSelector, namespaceSelector, disableBGPExport, allowedUses, assignmentMode, disabled } = settings;
  for (const [said, harmless] of [
    [nodeSelector, ["", "all()"]],
    [namespaceSelector, ["", "all()"]],
  ] as const) {
    if (said === undefined) continue;
    if (harmless.includes(said.text.trim() as "")) ledger.note(said.subject, "covered", "the network is for all");
    else ledger.refuse(said.subject, "Twill has one network for all nodes and namespaces", "it is for all");
  }
  if (disableBGPExport !== undefined)
    ledger.note(disableBGPExport.subject, "covered", "nothing is exported: BGP comes in a later version");
  if (allowedUses !== undefined)
    ledger.note(allowedUses.subject, "covered", "the network is for pods; tunnels use each subnet's first address");
  if (assignmentMode !== undefined) {
    const text = assignmentMode.text.toLowerCase();
    if (text === "" || text === "automatic")
      ledger.note(assignmentMode.subject, "covered", "addresses are given out automatically");
    else
      ledger.refuse(assignmentMode.subject, "Twill gives out the addresses of its network to every pod", "it does so");
  }
  if (disabled !== undefined) ledger.note(disabled.subject, "covered", "the pool is in use");
}
