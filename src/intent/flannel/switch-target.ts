import { TwillError } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import type { ConfigId, Target } from "../../model/live-switch.ts";
import type { ClusterNetwork } from "../../model/network.ts";
import { integer, list, object, plain, readObject, required, rootOf, text } from "../schema.ts";
import { parseConfigId } from "./lease.ts";
import { parseNetConf, writtenNetwork } from "./net-conf.ts";

/** The cluster's target with the configurations that its ids stand for; the target's own is the first. */
export interface SwitchTarget extends Target {
  readonly configs: ReadonlyMap<ConfigId, ClusterNetwork>;
}

const version = 1;
/** A change is refused while so many earlier configurations may be in use. */
export const maximumConfigs = 8;

const fields = {
  version: required(integer({ min: 1, max: version, meaning: "Version of this object." })),
  epoch: required(integer({ min: 1, max: Number.MAX_SAFE_INTEGER, meaning: "Counts the targets." })),
  configs: required(
    list({
      of: object({
        fields: {
          id: required(text({ parse: parseConfigId, meaning: "Its name in leases." })),
          network: required(plain({ meaning: "net-conf.json, with every default filled in." })),
        },
        unknown: "ignore",
      }),
      max: maximumConfigs,
      meaning: "The target, then earlier ones that may still be in use.",
    }),
  ),
};

export function encodeSwitchTarget({ epoch, id, earlier, configs }: SwitchTarget): Uint8Array {
  const written = [id, ...earlier].flatMap((each) => {
    const network = configs.get(each);
    return network === undefined ? [] : [{ id: each, network: writtenNetwork(network) }];
  });
  return new TextEncoder().encode(JSON.stringify({ version, epoch, configs: written }));
}

export interface SwitchTargetOptions {
  /** Whether a configuration whose backend runs commands is taken; on a node, only when its agent's flag allows it. */
  readonly allowExtension: boolean;
}

const source = "the cluster's target";

/** @throws TwillError `corrupt`, also for a configuration that is not allowed; `unsupported` for a version after this one. */
export function decodeSwitchTarget(bytes: Uint8Array, options: SwitchTargetOptions): SwitchTarget {
  const root = rootOf(parseJson(bytes, { source, code: "corrupt", maxLength: 1 << 20, maxDepth: 16 }));
  const found = readObject({ version: plain() }, root, { unknown: "ignore" }).values.version;
  if (typeof found === "number" && found > version) {
    throw new TwillError("unsupported", `it has version ${found}; this Twill reads up to ${version}`, {
      operation: "read",
      object: source,
      remedy: "upgrade this node's Twill",
    });
  }
  const { values } = readObject(fields, root, { unknown: "ignore" });
  const configs = new Map(values.configs.map(({ id, network }) => [id, networkOf(network, options)]));
  const [id, ...earlier] = configs.keys();
  if (id === undefined || configs.size !== values.configs.length) {
    throw new TwillError("corrupt", "it names no configuration, or one of them twice", {
      operation: "read",
      object: source,
      remedy: "delete it: the agents write it anew from the network's configuration",
    });
  }
  return { epoch: values.epoch, id, earlier, configs };
}

function networkOf(value: unknown, options: SwitchTargetOptions): ClusterNetwork {
  try {
    return parseNetConf(JSON.stringify(value), { source, ...options });
  } catch (cause) {
    if (!(cause instanceof TwillError)) throw cause;
    const { remedy } = cause;
    throw new TwillError("corrupt", cause.message, {
      operation: "read",
      object: source,
      cause,
      ...(remedy && { remedy }),
    });
  }
}
