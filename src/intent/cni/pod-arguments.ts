import { type Address, tryAddress } from "../../base/address.ts";
import { isMulticast, type Mac, tryMac } from "../../base/mac.ts";
import { isSubdomain } from "../subdomain.ts";
import { CniError, cniCodes } from "./cni-error.ts";

/** CNI_ARGS: `K=V;K=V`, as Kubernetes' runtimes fill it. Not from Kubernetes: all absent. */
export interface PodArguments {
  readonly podName?: string;
  readonly podNamespace?: string;
  readonly podUid?: string;
  readonly ip?: Address;
  readonly mac?: Mac;
}

/** By name: the field, and what it accepts. Undefined: the value is wrong. */
const known: Readonly<Record<string, (value: string) => PodArguments | undefined>> = {
  K8S_POD_NAME: (value) => (isSubdomain(value) ? { podName: value } : undefined),
  K8S_POD_NAMESPACE: (value) => (isSubdomain(value) ? { podNamespace: value } : undefined),
  K8S_POD_UID: (value) => (value.length <= 128 && /^[-a-zA-Z0-9_.]+$/.test(value) ? { podUid: value } : undefined),
  K8S_POD_INFRA_CONTAINER_ID: () => ({}),
  IP: (value) => {
    const ip = tryAddress(value.split("/", 1)[0] ?? "");
    return ip === undefined ? undefined : { ip };
  },
  MAC: (value) => {
    const mac = tryMac(value);
    return mac === undefined || isMulticast(mac) ? undefined : { mac };
  },
};

/** @throws CniError 4 naming the argument. Unknown ones need IgnoreUnknown, as the reference plugins have it. */
export function parseArguments(text: string): PodArguments {
  const pairs = text
    .slice(0, 65536)
    .split(";")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const equals = pair.indexOf("=");
      if (equals <= 0) throw wrong(`${quoted(pair)} is not of the form NAME=VALUE`);
      return [pair.slice(0, equals), pair.slice(equals + 1)] as const;
    });
  const ignoreUnknown = pairs.some(
    ([name, value]) => name === "IgnoreUnknown" && ["1", "true", "True", "TRUE"].includes(value),
  );
  let read: PodArguments = {};
  for (const [name, value] of pairs) {
    if (name === "IgnoreUnknown" || value === "") continue;
    if (!Object.hasOwn(known, name)) {
      if (ignoreUnknown) continue;
      throw wrong(`${quoted(name)} is not known`, "add IgnoreUnknown=1");
    }
    const part = known[name]?.(value);
    if (part === undefined) throw wrong(`${name} ${quoted(value)} is invalid`);
    read = { ...read, ...part };
  }
  return read;
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 80));

const wrong = (message: string, remedy = "correct the runtime's arguments"): CniError =>
  new CniError(cniCodes.invalidEnvironment, `CNI_ARGS: ${message}`, { remedy });
