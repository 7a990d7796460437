import { type Family, familyOf } from "../../base/address.ts";
import { detached } from "../../base/detached.ts";
import { parseJson } from "../../base/json.ts";
import type { EndpointSlice, SliceEndpoint, SlicePort } from "../../model/services.ts";
import { described, type Place, rootOf, wrong } from "../schema.ts";
import { readAddress } from "./address-lists.ts";
import { readMetadata } from "./metadata.ts";
import { protocolOf, readPortNumber, transports } from "./ports.ts";
import { itemsOf, Notes, type Reading, readFields, readText, readWord } from "./reading.ts";

/** Names the Service that a slice belongs to. */
export const SERVICE_NAME = "kubernetes.io/service-name";

const ignore = { unknown: "ignore" } as const;

/**
 * An EndpointSlice (discovery.k8s.io/v1) as a datastore keeps it. Undefined: it belongs to no Service, or holds host names.
 * @throws TwillError `invalid`.
 */
export function decodeEndpointSlice(bytes: Uint8Array, stored: string): EndpointSlice | undefined {
  const source = `EndpointSlice ${stored.replace(".", "/")}`;
  const place = rootOf(parseJson(bytes, { source, maxLength: 4 << 20 }));
  const read = readEndpointSlice(place, new Notes("datastore"));
  return read && detached(read);
}

/** As `decodeEndpointSlice`. @throws JsonError. */
export function readEndpointSlice(place: Place, reading: Reading): EndpointSlice | undefined {
  const known = ["apiVersion", "kind", "metadata", "addressType", "endpoints", "ports"] as const;
  const whole = readFields(place, known, reading, ignore);
  const metadata = readMetadata(place, reading, {});
  const service = metadata.labels[SERVICE_NAME];
  const type = whole.at("addressType");
  const family = families[type === undefined ? "" : readText(type)];
  if (service === undefined || service === "" || family === undefined) return undefined;
  const [ports, endpoints] = [whole.at("ports"), whole.at("endpoints")];
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    service,
    family,
    ports: ports === undefined ? [] : itemsOf(ports).flatMap((item) => readSlicePort(item, reading) ?? []),
    endpoints:
      endpoints === undefined ? [] : itemsOf(endpoints).flatMap((item) => readEndpoint(item, family, reading) ?? []),
  };
}

const families: Readonly<Record<string, Family>> = { IPv4: 4, IPv6: 6 };

/** Undefined: all ports, which no proxy can translate to. */
function readSlicePort(place: Place, reading: Reading): SlicePort | undefined {
  const fields = readFields(place, ["name", "protocol", "port"], reading, ignore);
  const [name, protocol, port] = [fields.at("name"), fields.at("protocol"), fields.at("port")];
  if (port === undefined) return undefined;
  return {
    name: name === undefined ? "" : readText(name),
    protocol: protocolOf[protocol === undefined ? "TCP" : readWord(protocol, transports)],
    port: readPortNumber(port),
  };
}

/** Of its addresses only the first counts: they are one endpoint's, and interchangeable (discovery/v1, Endpoint.addresses). */
function readEndpoint(place: Place, family: Family, reading: Reading): SliceEndpoint | undefined {
  const known = ["addresses", "conditions", "nodeName", "zone", "hints", "targetRef"] as const;
  const fields = readFields(place, known, reading, ignore);
  const addresses = fields.at("addresses");
  const [first] = addresses === undefined ? [] : itemsOf(addresses);
  if (first === undefined) return undefined;
  const address = readAddress(first);
  if (familyOf(address) !== family) {
    throw wrong(first, `${address} is not of IPv${family}, as the slice says`, "put it into a slice of its own family");
  }
  const text = (name: "nodeName" | "zone"): string | undefined => {
    const found = fields.at(name);
    return found === undefined ? undefined : readText(found);
  };
  const [node, zone, pod] = [text("nodeName"), text("zone"), readPodName(fields.at("targetRef"), reading)];
  return {
    address,
    ...readConditions(fields.at("conditions"), reading),
    ...(node !== undefined && { node }),
    ...(zone !== undefined && { zone }),
    ...readHints(fields.at("hints"), reading),
    ...(pod !== undefined && { pod }),
  };
}

/** What is not said of an endpoint: that it is ready, serves, and does not terminate (discovery/v1, EndpointConditions). */
function readConditions(place: Place | undefined, reading: Reading) {
  const fields = place && readFields(place, ["ready", "serving", "terminating"], reading, ignore);
  const flag = (name: "ready" | "serving" | "terminating", absent: boolean): boolean => {
    const found = fields?.at(name);
    if (found === undefined) return absent;
    if (found.node.kind === "boolean") return found.node.value;
    throw wrong(found, `${described(found)} is not true or false`, "write true or false");
  };
  return { ready: flag("ready", true), serving: flag("serving", true), terminating: flag("terminating", false) };
}

function readHints(place: Place | undefined, reading: Reading): Pick<SliceEndpoint, "forZones" | "forNodes"> {
  const fields = place && readFields(place, ["forZones", "forNodes"], reading, ignore);
  const names = (which: "forZones" | "forNodes"): readonly string[] => {
    const list = fields?.at(which);
    return (list === undefined ? [] : itemsOf(list)).flatMap((item) => {
      const name = readFields(item, ["name"], reading, ignore).at("name");
      return name === undefined ? [] : [readText(name)];
    });
  };
  const [forZones, forNodes] = [names("forZones"), names("forNodes")];
  return { ...(forZones.length > 0 && { forZones }), ...(forNodes.length > 0 && { forNodes }) };
}

function readPodName(place: Place | undefined, reading: Reading): string | undefined {
  const fields = place && readFields(place, ["kind", "namespace", "name"], reading, ignore);
  const [kind, namespace, name] = [fields?.at("kind"), fields?.at("namespace"), fields?.at("name")];
  if (kind === undefined || readText(kind) !== "Pod" || name === undefined || namespace === undefined) return undefined;
  return `${readText(namespace)}/${readText(name)}`;
}
