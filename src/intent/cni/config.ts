import { type Address, familyOf } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import { JsonError } from "../../base/json-error.ts";
import type { Mac } from "../../base/mac.ts";
import { prefixFamily } from "../../base/prefix.ts";
import { described, type Place, type Reading, readObject, rootOf, wrong } from "../schema.ts";
import { CniError, cniCodes } from "./cni-error.ts";
import { type AttachmentType, configFields, unsupportedFields } from "./config-fields.ts";
import type { CniCommand } from "./environment.ts";
import { checkIpam, type IpamConfig } from "./ipam.ts";
import type { PodArguments } from "./pod-arguments.ts";
import { defined, readDns, readResult } from "./read-result.ts";
import type { CniDns, CniResult } from "./result.ts";
import { atLeast, type CniVersion, parseVersion } from "./version.ts";

/** What every command needs, and all that DEL needs: a pod must go whatever is wrong with the rest by now. */
export interface EssentialConfig {
  readonly cniVersion: CniVersion;
  /** Of the network: part of the key of all state. */
  readonly name: string;
  readonly socket: string;
}

/** What our plugin is told on stdin, checked, with its defaults filled in. */
export interface PluginConfig extends EssentialConfig {
  readonly attachment: AttachmentConfig;
  /** Absent: what the backend leaves, or the master's. */
  readonly mtu?: number;
  /** Absent: where the pod has no default route yet. */
  readonly isDefaultGateway?: boolean;
  /** Absent: addresses of the node's own subnets. */
  readonly ipam?: IpamConfig;
  /** Asked for by the runtime (capability ips) or by `args`. */
  readonly ips: readonly Address[];
  readonly mac?: Mac;
  readonly dns?: CniDns;
  readonly prevResult?: CniResult;
  /** GC only: what the runtime still knows; all else of this network may go. */
  readonly validAttachments?: readonly { readonly containerId: string; readonly ifname: string }[];
}

export type AttachmentConfig =
  | { readonly type: "routed" }
  | { readonly type: "bridge"; readonly bridge: string; readonly hairpinMode: boolean }
  | { readonly type: "macvlan"; readonly master: string; readonly mode: "bridge" | "private" | "vepa" | "passthru" };

export const defaultSocket = "/run/twill/agent.sock";

const { cniVersion, name, socket } = configFields;
const essentialFields = { cniVersion, name, socket };

/** Nothing but the essentials is looked at. @throws CniError 1 (version), 6 (no JSON) or 7, naming the field. */
export function parseEssentials(stdin: string | Uint8Array): EssentialConfig {
  const root = parseStdin(stdin);
  return coded(cniCodes.invalidConfiguration, () => {
    const { values } = readObject(essentialFields, root, { unknown: "ignore" });
    return {
      cniVersion: parseVersion(values.cniVersion),
      name: values.name,
      socket: values.socket ?? defaultSocket,
    };
  });
}

/** @throws CniError 1 (version), 2 (unsupported field), 6 (no JSON) or 7 (anything else), naming the field. */
export function parsePluginConfig(stdin: string | Uint8Array, command: CniCommand): PluginConfig {
  const root = parseStdin(stdin);
  return coded(cniCodes.invalidConfiguration, () => readConfig(root, command));
}

function parseStdin(stdin: string | Uint8Array): Place {
  const options = { source: "network configuration", maxLength: 4 << 20 };
  return coded(cniCodes.decode, () => rootOf(parseJson(stdin, options)));
}

/** Errors about the document get that CNI code; those that have one keep it. */
function coded<T>(cniCode: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof TwillError) || error instanceof CniError) throw error;
    const { code, operation, object, remedy } = error;
    const shown = error instanceof JsonError ? `${error.message}\n${error.excerpt}` : error.message;
    throw new CniError(cniCode, shown, {
      code,
      ...(operation !== undefined && { operation }),
      ...(object !== undefined && { object }),
      ...(remedy !== undefined && { remedy }),
    });
  }
}

function readConfig(root: Place, command: CniCommand): PluginConfig {
  const reading = readObject(configFields, root, { explainUnknown: unsupported });
  const { values } = reading;
  const cniVersion = parseVersion(values.cniVersion);
  const attachment = readAttachment(reading);
  const ipRanges = values.runtimeConfig?.ipRanges;
  const ipam = checkIpam(values.ipam, ipRanges, reading.at(ipRanges === undefined ? "ipam" : "runtimeConfig"));
  if (ipam === undefined && attachment.type === "macvlan") {
    const remedy = 'add "ipam": {"subnet": "…"} with a network of the master\'s';
    throw wrong(root, "ipam is missing: the node's subnet is not on the master's network", remedy);
  }
  const needsIpv6 = ipam?.rangeSets.some((set) => set.some(({ subnet }) => prefixFamily(subnet) === 6)) ?? false;
  if (needsIpv6 && values.mtu !== undefined && values.mtu < 1280) {
    throw wrong(reading.at("mtu"), `${values.mtu} is too small for IPv6`, "use 1280 to 65535");
  }
  const runtimeDns = values.runtimeConfig?.dns;
  const dns =
    runtimeDns === undefined
      ? values.dns
      : {
          nameservers: runtimeDns.servers,
          search: runtimeDns.searches,
          options: runtimeDns.options,
          domain: undefined,
        };
  return {
    cniVersion,
    name: values.name,
    attachment,
    socket: values.socket ?? defaultSocket,
    ips: requestedIps(reading),
    ...defined({
      mtu: values.mtu,
      isDefaultGateway: values.isDefaultGateway ?? (attachment.type === "macvlan" ? false : undefined),
      ipam,
      mac: values.runtimeConfig?.mac,
      dns: dns === undefined ? undefined : readDns(dns),
      prevResult: readPrevious(reading, cniVersion, command),
      validAttachments: command === "GC" ? readValid(reading, root) : undefined,
    }),
  };
}

function unsupported(name: string, at: Place): CniError | undefined {
  const instead = Object.hasOwn(unsupportedFields, name) ? unsupportedFields[name] : undefined;
  if (instead === undefined) return undefined;
  return new CniError(cniCodes.unsupportedField, `the field ${name} with ${described(at)} is not supported`, {
    remedy: instead,
  });
}

const ownedBy = { bridge: "bridge", hairpinMode: "bridge", master: "macvlan", mode: "macvlan" } as const;

function readAttachment(reading: Reading<typeof configFields>): AttachmentConfig {
  const { values, at, has } = reading;
  const type: AttachmentType = values.attachment;
  for (const [name, owner] of Object.entries(ownedBy) as [keyof typeof ownedBy, AttachmentType][]) {
    if (owner === type || !has(name)) continue;
    const remedy = `remove it, or write "attachment": "${owner}"`;
    throw wrong(at(name), `${name} is an option of the attachment ${owner}, not of ${type}`, remedy);
  }
  switch (type) {
    case "routed":
      return { type };
    case "bridge":
      return { type, bridge: values.bridge ?? "cni0", hairpinMode: values.hairpinMode ?? false };
    case "macvlan":
      if (values.master === undefined) {
        throw wrong(at("attachment"), "macvlan needs a master", 'add "master": "eth0", the interface that pods share');
      }
      return { type, master: values.master, mode: values.mode ?? "bridge" };
  }
}

function requestedIps({ values, at }: Reading<typeof configFields>): readonly Address[] {
  const ips = values.runtimeConfig?.ips ?? values.args?.cni?.ips ?? [];
  if (new Set(ips).size !== ips.length) {
    throw wrong(at("runtimeConfig"), `one address is asked for twice: ${ips.join(", ")}`, "name each once");
  }
  return ips;
}

function readPrevious(
  reading: Reading<typeof configFields>,
  version: CniVersion,
  command: CniCommand,
): CniResult | undefined {
  const { prevResult } = reading.values;
  if (prevResult !== undefined) return readResult(prevResult, version);
  if (command !== "CHECK") return undefined;
  if (!atLeast(version, "0.4.0")) {
    throw new CniError(cniCodes.incompatibleVersion, `CHECK is not in CNI ${version}`, {
      remedy: "use cniVersion 0.4.0 or later",
    });
  }
  throw wrong(reading.at("prevResult"), "prevResult is missing", "CHECK needs the result of ADD");
}

/** Without the list nothing may be collected: to take its absence for an empty one would free every pod's address. */
function readValid({ values }: Reading<typeof configFields>, root: Place): PluginConfig["validAttachments"] {
  const valid = values["cni.dev/valid-attachments"] ?? values["cni.dev/attachments"];
  if (valid === undefined) throw wrong(root, "cni.dev/valid-attachments is missing", "GC needs the list, if empty");
  return valid.map(({ containerID, ifname }) => ({ containerId: containerID, ifname }));
}

/** The addresses that a pod asks for, whoever said so; at most one a family. Absent families get any address. */
export function requestedAddresses(config: PluginConfig, args: PodArguments): readonly Address[] {
  const asked = config.ips.length > 0 ? config.ips : args.ip === undefined ? [] : [args.ip];
  const families = new Set(asked.map(familyOf));
  if (config.ipam === undefined && families.size !== asked.length) {
    throw new CniError(cniCodes.invalidConfiguration, `two addresses of one family: ${asked.join(", ")}`, {
      remedy: "ask for at most one address a family",
    });
  }
  return asked;
}

/** The Ethernet address that a pod asks for, whoever said so. */
export const requestedMac = (config: PluginConfig, args: PodArguments): Mac | undefined => config.mac ?? args.mac;
