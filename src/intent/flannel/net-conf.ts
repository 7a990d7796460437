import { type JsonOptions, parseJson } from "../../base/json.ts";
import { baseOf, overlaps, prefixFamily } from "../../base/prefix.ts";
import type { Problem } from "../../base/problem.ts";
import type { BackendConfig, ClusterNetwork, FurtherRange, NetworkRange } from "../../model/network.ts";
import { type Place, type Reading, readObject, rootOf, writeObject, wrong } from "../schema.ts";
import { networkFields } from "./network-fields.ts";
import { readFurtherRange, readRange } from "./range.ts";
import { defaultBackend, readBackend } from "./read-backend.ts";

export interface NetConfOptions {
  /** What the text is called in errors: a path. */
  readonly source?: string;
  /** The agent runs with --allow-extension-commands. */
  readonly allowExtension?: boolean;
  /** Told what is valid and most likely not meant. */
  readonly warn?: (problem: Problem) => void;
}

/**
 * Flannel's net-conf.json, validated and with its defaults filled in.
 * @throws TwillError `invalid` (a JsonError) for the first thing wrong: file, line, field, value and what would be right.
 */
export function parseNetConf(text: string | Uint8Array, options: NetConfOptions = {}): ClusterNetwork {
  const source = options.source ?? "net-conf.json";
  const parsing: JsonOptions = { source, maxLength: 1 << 18 };
  const root = rootOf(parseJson(text, parsing));
  const reading = readObject(networkFields, root, { anyCase: true });
  const { values } = reading;
  if (!values.EnableIPv4 && !values.EnableIPv6) {
    throw wrong(reading.at("EnableIPv4"), "both IPv4 and IPv6 are disabled", "set EnableIPv4 or EnableIPv6 to true");
  }
  if (options.warn !== undefined) warnOfUnused(reading, source, options.warn);
  const ipv4 = values.EnableIPv4 ? readRange(4, reading) : undefined;
  const ipv6 = values.EnableIPv6 ? readRange(6, reading) : undefined;
  const further = readFurther(values.MoreNetworks ?? [], ipv4, ipv6);
  const backendOptions = {
    allowExtension: options.allowExtension ?? false,
    smallestMtu: values.EnableIPv6 ? 1280 : 68,
  };
  return {
    ...(ipv4 !== undefined && { ipv4 }),
    ...(ipv6 !== undefined && { ipv6 }),
    ...(further.length > 0 && { further }),
    backend: values.Backend === undefined ? defaultBackend : readBackend(values.Backend, backendOptions),
    enableNFTables: values.EnableNFTables,
  };
}

/** Each of a family that is enabled, and none overlapping another. */
function readFurther(
  places: readonly Place[],
  ipv4: NetworkRange | undefined,
  ipv6: NetworkRange | undefined,
): readonly FurtherRange[] {
  const taken = [ipv4, ipv6].flatMap((range) => (range === undefined ? [] : [range.network]));
  return places.map((place) => {
    const range = readFurtherRange(place);
    const { network } = range;
    const family = prefixFamily(network);
    if ((family === 4 ? ipv4 : ipv6) === undefined)
      throw wrong(
        place,
        `${network} is a network of IPv${family}, which is not enabled`,
        `set EnableIPv${family} to true`,
      );
    const twin = taken.find((other) => overlaps(other, network));
    if (twin !== undefined) throw wrong(place, `${network} overlaps ${twin}`, "let no two ranges overlap");
    taken.push(network);
    return range;
  });
}

/** Flannel leaves a family aside that is not enabled, and so do we; but whoever forgot EnableIPv6 should hear of it. */
function warnOfUnused(reading: Reading<typeof networkFields>, source: string, warn: (problem: Problem) => void): void {
  if (reading.values.EnableIPv6 || reading.has("EnableIPv6") || !reading.has("IPv6Network")) return;
  warn({
    severity: "warning",
    subject: `${source}: IPv6Network`,
    message: "there is an IPv6Network, but IPv6 is not enabled: pods get no IPv6 addresses",
    remedy: 'add "EnableIPv6": true, or remove IPv6Network',
  });
}

/** The canonical text: every value said, in the order of the documentation. parseNetConf reads the same network from it. */
export function formatNetConf(network: ClusterNetwork): string {
  return `${JSON.stringify(writtenNetwork(network), null, 2)}\n`;
}

/** The fields of the canonical text. */
export function writtenNetwork({
  ipv4,
  ipv6,
  further,
  backend,
  enableNFTables,
}: ClusterNetwork): Record<string, unknown> {
  return writeObject(networkFields, {
    EnableIPv4: ipv4 === undefined ? false : undefined,
    EnableIPv6: ipv6 === undefined ? undefined : true,
    EnableNFTables: enableNFTables ? true : undefined,
    ...(ipv4 !== undefined && {
      Network: ipv4.network,
      SubnetLen: ipv4.subnetLength,
      SubnetMin: baseOf(ipv4.subnetMin),
      SubnetMax: baseOf(ipv4.subnetMax),
    }),
    ...(ipv6 !== undefined && {
      IPv6Network: ipv6.network,
      IPv6SubnetLen: ipv6.subnetLength,
      IPv6SubnetMin: baseOf(ipv6.subnetMin),
      IPv6SubnetMax: baseOf(ipv6.subnetMax),
    }),
    MoreNetworks: further?.map(({ network, subnetLength, subnetMin, subnetMax, retired }) => ({
      Network: network,
      SubnetLen: subnetLength,
      SubnetMin: baseOf(subnetMin),
      SubnetMax: baseOf(subnetMax),
      ...(retired ? { Retired: true } : {}),
    })),
    Backend: writtenBackend(backend),
  });
}

function writtenBackend(backend: BackendConfig): Record<string, unknown> {
  switch (backend.type) {
    case "vxlan":
      return {
        Type: backend.type,
        VNI: backend.vni,
        Port: backend.port,
        GBP: backend.gbp,
        Learning: backend.learning,
        DirectRouting: backend.directRouting,
        MTU: backend.mtu,
      };
    case "extension":
      return {
        Type: backend.type,
        PreStartupCommand: backend.preStartup,
        PostStartupCommand: backend.postStartup,
        SubnetAddCommand: backend.subnetAdd,
        SubnetRemoveCommand: backend.subnetRemove,
      };
    default:
      return { Type: backend.type };
  }
}

export const sameNetwork = (a: ClusterNetwork, b: ClusterNetwork): boolean => networkDifferences(a, b).length === 0;

/** What changes from `before` to `after`, one sentence a field: "Backend.VNI: 1 becomes 42". */
export function networkDifferences(before: ClusterNetwork, after: ClusterNetwork): readonly string[] {
  const old = flat(writtenNetwork(before));
  const next = flat(writtenNetwork(after));
  const names = [...new Set([...old.keys(), ...next.keys()])];
  return names.flatMap((name) => {
    const [was, is] = [old.get(name), next.get(name)];
    if (was === is) return [];
    if (was === undefined) return [`${name}: ${is} is new`];
    if (is === undefined) return [`${name}: ${was} is gone`];
    return [`${name}: ${was} becomes ${is}`];
  });
}

function flat(fields: Record<string, unknown>, path = ""): Map<string, string> {
  const all = new Map<string, string>();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (name === "MoreNetworks" && Array.isArray(value)) {
      for (const { Network, ...rest } of value)
        for (const [inner, text] of flat({ used: true, ...rest }, `${name} ${Network} `)) all.set(inner, text);
    } else if (typeof value === "object" && value !== null) {
      for (const [inner, text] of flat({ ...value }, `${path}${name}.`)) all.set(inner, text);
    } else all.set(`${path}${name}`, String(value));
  }
  return all;
}
