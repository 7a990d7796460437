import { TwillError } from "../../../src/base/errors.ts";
import { parseNetConf, writtenNetwork } from "../../../src/intent/flannel/net-conf.ts";
import type { ConfigId, Position } from "../../../src/model/live-switch.ts";
import type { ClusterNetwork } from "../../../src/model/network.ts";
import { readIfExists, writeIfChanged } from "../files.ts";

/** A position with the configurations that its ids stand for. */
export interface HeldPosition extends Position {
  /** Of every id in `accepts`; with this node's own names of devices. */
  readonly configs: ReadonlyMap<ConfigId, ClusterNetwork>;
}

/** What is on the disk before the kernel hears of it, so that a restart goes on where the node was and not behind it. */
export interface KeptPosition {
  /** Boot of the machine in which the kernel was made so. */
  readonly boot: string;
  readonly held: HeldPosition;
}

const version = 1;

/** <state>/position.json. */
export class PositionFile {
  readonly #path: string;
  readonly #allowExtension: boolean;

  constructor(path: string, allowExtension: boolean) {
    this.#path = path;
    this.#allowExtension = allowExtension;
  }

  /** @throws TwillError `corrupt`: the node then begins as a new one does. */
  load(): KeptPosition | undefined {
    const text = readIfExists(this.#path);
    if (text === undefined) return undefined;
    try {
      return this.#decode(JSON.parse(text));
    } catch (cause) {
      throw new TwillError("corrupt", "this is not the node's position in the cluster's changes", {
        operation: "read",
        object: this.#path,
        remedy: "none is needed: the node joins the cluster anew",
        cause,
      });
    }
  }

  /** @throws TwillError `io`. */
  save({ boot, held }: KeptPosition): void {
    const { epoch, sends, accepts, configs } = held;
    const written = accepts.flatMap((id) => {
      const network = configs.get(id);
      if (network === undefined) return [];
      const variant = network.backend.type === "vxlan" ? network.backend.variant : undefined;
      return [{ id, network: writtenNetwork(network), ...(variant === undefined ? {} : { variant }) }];
    });
    const value = { version, boot, epoch, sends, accepts: written };
    writeIfChanged(this.#path, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  }

  #decode(value: unknown): KeptPosition {
    const file = value as {
      readonly version: unknown;
      readonly boot: string;
      readonly epoch: number;
      readonly sends: ConfigId;
      readonly accepts: readonly { readonly id: ConfigId; readonly network: unknown; readonly variant?: string }[];
    };
    if (file.version !== version) throw new TwillError("unsupported", `it has version ${String(file.version)}`);
    const configs = new Map(
      file.accepts.map(({ id, network, variant }) => [id, withVariant(this.#parse(network), variant)]),
    );
    if (!configs.has(file.sends) || !Number.isSafeInteger(file.epoch))
      throw new TwillError("corrupt", "it contradicts itself");
    const { epoch, sends } = file;
    return { boot: file.boot, held: { epoch, sends, accepts: [...configs.keys()], configs } };
  }

  #parse(network: unknown): ClusterNetwork {
    return parseNetConf(JSON.stringify(network), { source: this.#path, allowExtension: this.#allowExtension });
  }
}

/** Under the name that this node gives the configuration's device. */
export function withVariant(network: ClusterNetwork, variant: string | undefined): ClusterNetwork {
  const { backend } = network;
  if (backend.type !== "vxlan") return network;
  const { variant: _, ...plain } = backend;
  return { ...network, backend: variant === undefined || variant === "" ? plain : { ...plain, variant } };
}
