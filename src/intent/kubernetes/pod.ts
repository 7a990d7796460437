import { type Address, tryAddress } from "../../base/address.ts";
import type { NamedPort, WorkloadEndpoint } from "../../model/policy.ts";
import { described, type Place, wrong } from "../schema.ts";
import { parseNodeName } from "../subdomain.ts";
import type { Metadata } from "./metadata.ts";
import { isPortName, protocolOf, readPortNumber, transports } from "./ports.ts";
import { type Fields, itemsOf, missing, type Reading, readFields, readText, readWord } from "./reading.ts";

/** What the agent of its node wrote when the pod was added: known sooner than the kubelet's report. */
export const POD_IPS = "cni.projectcalico.org/podIPs";

const ignore = { unknown: "ignore" } as const;

/**
 * Undefined: it is no endpoint. Pods on the host's network count as their node, and completed ones no longer own their addresses
 * (core/v1: phase Succeeded, Failed); one that is being deleted runs on until it is gone.
 * @throws JsonError.
 */
export function readPod(
  spec: Place | undefined,
  status: Place | undefined,
  metadata: Metadata,
  reading: Reading,
): WorkloadEndpoint | undefined {
  const fields = spec && readFields(spec, podFields, reading, ignore);
  const reported = status && readFields(status, ["phase", "podIPs", "podIP"], reading, ignore);
  const text = (place: Place | undefined) => (place === undefined ? undefined : readText(place));
  const host = fields?.at("hostNetwork");
  if (host !== undefined && host.node.kind !== "boolean") {
    throw wrong(host, `${described(host)} is not true or false`, "write true or false");
  }
  const phase = text(reported?.at("phase"));
  const ports = fields === undefined ? [] : readPorts(fields, reading);
  const node = text(fields?.at("nodeName"));
  if (host?.node.kind === "boolean" && host.node.value) return undefined;
  if (phase === "Succeeded" || phase === "Failed") return undefined;
  return {
    namespace: metadata.namespace ?? "",
    pod: metadata.name,
    ...(node !== undefined && node !== "" && { node: parseNodeName(node) }),
    labels: metadata.labels,
    serviceAccount: text(fields?.at("serviceAccountName")) || "default",
    addresses: addressesOf(reported, metadata.annotations),
    ports,
  };
}

const podFields = ["nodeName", "hostNetwork", "serviceAccountName", "containers", "initContainers"] as const;

/**
 * The kubelet's report counts where there is one: only it can write that, while an annotation is open to whoever may edit the pod, and
 * would let a pod pass for another.
 */
function addressesOf(
  reported: Fields<"phase" | "podIPs" | "podIP"> | undefined,
  annotations: Metadata["annotations"],
): readonly Address[] {
  const listed = reported?.at("podIPs");
  const single = reported?.at("podIP");
  const written = [
    ...(listed === undefined ? [] : itemsOf(listed).map(addressOfPodIp)),
    ...(single === undefined ? [] : [readText(single)]),
  ];
  const told = known(written);
  if (told.length > 0) return told;
  const annotated = annotations[POD_IPS] ?? "";
  return known(annotated.split(",").map((part) => part.trim().replace(/\/(?:32|128)$/, "")));
}

const known = (texts: readonly string[]): readonly Address[] => [
  ...new Set(texts.flatMap((text) => tryAddress(text) ?? [])),
];

function addressOfPodIp(place: Place): string {
  if (place.node.kind !== "object") throw wrong(place, `${described(place)} is not an object`, "write ip: ADDRESS");
  const ip = place.node.members.find(({ key }) => key === "ip")?.value;
  return ip?.kind === "string" ? ip.value : "";
}

/** Of containers, and of those that run beside them although they start first (restartPolicy: Always). */
function readPorts(fields: Fields<(typeof podFields)[number]>, reading: Reading): readonly NamedPort[] {
  const containers = fields.at("containers");
  const first = fields.at("initContainers");
  const ports = [
    ...(containers === undefined ? [] : itemsOf(containers).flatMap((item) => readContainer(item, reading, false))),
    ...(first === undefined ? [] : itemsOf(first).flatMap((item) => readContainer(item, reading, true))),
  ];
  const distinct = new Map(ports.map((port) => [`${port.name}/${port.protocol}/${port.port}`, port]));
  return [...distinct].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, port]) => port);
}

function readContainer(place: Place, reading: Reading, starts: boolean): readonly NamedPort[] {
  const fields = readFields(place, ["ports", "restartPolicy"], reading, ignore);
  const restart = fields.at("restartPolicy");
  const ports = fields.at("ports");
  if (ports === undefined || (starts && (restart === undefined || readText(restart) !== "Always"))) return [];
  return itemsOf(ports).flatMap((item) => readContainerPort(item, reading));
}

function readContainerPort(place: Place, reading: Reading): readonly NamedPort[] {
  const fields = readFields(place, ["name", "containerPort", "protocol"], reading, ignore);
  const [name, port, protocol] = [fields.at("name"), fields.at("containerPort"), fields.at("protocol")];
  if (port === undefined) throw missing(fields, "containerPort", "add containerPort: with a number");
  const read = {
    protocol: protocolOf[protocol === undefined ? "TCP" : readWord(protocol, transports)],
    port: readPortNumber(port),
  };
  if (name === undefined || readText(name) === "") return [];
  if (!isPortName(readText(name))) {
    throw wrong(name, `${described(name)} cannot be a port's name`, "use at most 15 lower-case letters, digits and -");
  }
  return [{ name: readText(name), ...read }];
}
