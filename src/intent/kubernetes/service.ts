import type { Address } from "../../base/address.ts";
import { detached } from "../../base/detached.ts";
import { parseJson } from "../../base/json.ts";
import type { Prefix } from "../../base/prefix.ts";
import { parsePrefix } from "../../base/prefix.ts";
import type { Service, ServicePort, TrafficScope } from "../../model/services.ts";
import { type Place, rootOf } from "../schema.ts";
import { readAddress, readAddresses } from "./address-lists.ts";
import { type Metadata, readMetadata } from "./metadata.ts";
import { readNetwork } from "./networks.ts";
import { protocolOf, readPortNumber, transports } from "./ports.ts";
import {
  type Fields,
  itemsOf,
  missing,
  Notes,
  type Reading,
  readFields,
  readInteger,
  readText,
  readWord,
} from "./reading.ts";

/** Whoever sets it takes the Service away from the node's own proxy (k8s.io/kubernetes pkg/proxy/apis). */
export const PROXY_NAME = "service.kubernetes.io/service-proxy-name";
/** What `loadBalancerSourceRanges` was called before it was a field; counts where the field is empty. */
export const SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges";
/** core/v1: DefaultClientIPServiceAffinitySeconds, three hours. */
const defaultAffinity = 10_800;
/** core/v1 validation: MaxClientIPServiceAffinitySeconds. */
const longestAffinity = 86_400;

const ignore = { unknown: "ignore" } as const;

/**
 * A Service (core/v1) as a datastore keeps it. Undefined: there is nothing to translate: headless, ExternalName, without an address yet, or
 * another proxy's.
 * @throws TwillError `invalid`.
 */
export function decodeService(bytes: Uint8Array, stored: string): Service | undefined {
  const source = `Service ${stored.replace(".", "/")}`;
  const place = rootOf(parseJson(bytes, { source, maxLength: 2 << 20 }));
  const read = readService(place, new Notes("datastore"));
  return read && detached(read);
}

/** As `decodeService`. @throws JsonError. */
export function readService(place: Place, reading: Reading): Service | undefined {
  const whole = readFields(place, ["apiVersion", "kind", "metadata", "spec", "status"], reading, ignore);
  const metadata = readMetadata(place, reading, {});
  const specPlace = whole.at("spec");
  if (specPlace === undefined || Object.hasOwn(metadata.labels, PROXY_NAME)) return undefined;
  const spec = readFields(specPlace, specFields, reading, ignore);
  const text = (name: SpecField): string | undefined => {
    const found = spec.at(name);
    return found === undefined ? undefined : readText(found);
  };
  const type = text("type") ?? "ClusterIP";
  const clusterAddresses = readClusterAddresses(spec);
  if (type === "ExternalName" || clusterAddresses.length === 0) return undefined;
  const onNodes = type === "NodePort" || type === "LoadBalancer";
  const status = whole.at("status");
  const balanced = type === "LoadBalancer" && status !== undefined ? readIngress(status, reading) : [];
  const ranges = type === "LoadBalancer" ? readRanges(spec, metadata, reading) : [];
  const scope = (name: "externalTrafficPolicy" | "internalTrafficPolicy"): TrafficScope =>
    text(name) === "Local" ? "local" : "cluster";
  const check = spec.at("healthCheckNodePort");
  const ports = spec.at("ports");
  const affinity = text("sessionAffinity") === "ClientIP" ? readAffinity(spec, reading) : undefined;
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    clusterAddresses,
    externalAddresses: readAddresses(spec.at("externalIPs")),
    loadBalancerAddresses: balanced,
    ...(ranges.length > 0 && { sourceRanges: ranges }),
    ports: ports === undefined ? [] : itemsOf(ports).map((item) => readServicePort(item, onNodes, reading)),
    ...(affinity !== undefined && { affinitySeconds: affinity }),
    externalPolicy: scope("externalTrafficPolicy"),
    internalPolicy: scope("internalTrafficPolicy"),
    // 0: none was needed.
    ...(check !== undefined && readInteger(check, 0, 65_535) > 0 && { healthCheckPort: readPortNumber(check) }),
  };
}

const specFields = [
  "type",
  "clusterIP",
  "clusterIPs",
  "externalIPs",
  "loadBalancerSourceRanges",
  "ports",
  "sessionAffinity",
  "sessionAffinityConfig",
  "externalTrafficPolicy",
  "internalTrafficPolicy",
  "healthCheckNodePort",
] as const;
type SpecField = (typeof specFields)[number];

/** "None": headless. "": none was given yet. */
function readClusterAddresses(spec: Fields<SpecField>): readonly Address[] {
  const listed = spec.at("clusterIPs");
  const single = spec.at("clusterIP");
  const places = listed !== undefined ? itemsOf(listed) : single !== undefined ? [single] : [];
  const addresses = places.flatMap((place) => (["", "None"].includes(readText(place)) ? [] : [readAddress(place)]));
  return [...new Set(addresses)];
}

/** Without those whose packets must reach the balancer itself (ipMode: Proxy), and without names. */
function readIngress(status: Place, reading: Reading): readonly Address[] {
  const balancer = readFields(status, ["loadBalancer"], reading, ignore).at("loadBalancer");
  const list = balancer && readFields(balancer, ["ingress"], reading, ignore).at("ingress");
  if (list === undefined) return [];
  const addresses = itemsOf(list).flatMap((item) => {
    const fields = readFields(item, ["ip", "ipMode"], reading, ignore);
    const [ip, mode] = [fields.at("ip"), fields.at("ipMode")];
    if (ip === undefined || readText(ip) === "" || (mode !== undefined && readText(mode) === "Proxy")) return [];
    return [readAddress(ip)];
  });
  return [...new Set(addresses)];
}

function readRanges(spec: Fields<SpecField>, metadata: Metadata, reading: Reading): readonly Prefix[] {
  const place = spec.at("loadBalancerSourceRanges");
  const listed = place === undefined ? [] : itemsOf(place).map((item) => readNetwork(item, reading));
  if (listed.length > 0) return listed;
  const annotated = metadata.annotations[SOURCE_RANGES] ?? "";
  return annotated
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parsePrefix);
}

function readAffinity(spec: Fields<SpecField>, reading: Reading): number {
  const config = spec.at("sessionAffinityConfig");
  const client = config && readFields(config, ["clientIP"], reading, ignore).at("clientIP");
  const seconds = client && readFields(client, ["timeoutSeconds"], reading, ignore).at("timeoutSeconds");
  return seconds === undefined ? defaultAffinity : readInteger(seconds, 1, longestAffinity);
}

function readServicePort(place: Place, onNodes: boolean, reading: Reading): ServicePort {
  const fields = readFields(place, ["name", "protocol", "port", "nodePort"], reading, ignore);
  const [name, protocol, port, nodePort] = [
    fields.at("name"),
    fields.at("protocol"),
    fields.at("port"),
    fields.at("nodePort"),
  ];
  if (port === undefined) throw missing(fields, "port", "add port: with a number");
  const allocated = nodePort === undefined || !onNodes ? 0 : readInteger(nodePort, 0, 65_535);
  return {
    name: name === undefined ? "" : readText(name),
    protocol: protocolOf[protocol === undefined ? "TCP" : readWord(protocol, transports)],
    port: readPortNumber(port),
    ...(allocated > 0 && { nodePort: allocated }),
  };
}
