import { createHash } from "node:crypto";
import { join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import { localMac, type Mac, tryMac } from "../../src/base/mac.ts";
import { type Prefix, parseStrictPrefix } from "../../src/base/prefix.ts";
import type { Random } from "../../src/base/random.ts";
import { readIfExists, writeIfChanged } from "./files.ts";

/** What this node must not forget over a restart, in <state>/node.json. Small, written whole, readable by a person. */
export interface NodeFile {
  readonly version: 1;
  /** Tells this machine from another one of the same name. */
  readonly identity: string;
  /** Ethernet addresses of tunnel devices: the other nodes know us by them. */
  readonly macs: Readonly<Record<string, Mac>>;
  /** The subnets it had, to ask for them again. */
  readonly subnets: readonly Prefix[];
  readonly datastore: string;
  readonly nodeName: string;
}

export class NodeMemory {
  readonly #path: string;
  /** This node has had a subnet from this datastore before: when it is missing now, it is away and not new. */
  readonly knowsDatastore: boolean;
  #file: NodeFile;

  private constructor(path: string, file: NodeFile, knowsDatastore: boolean) {
    this.#path = path;
    this.#file = file;
    this.knowsDatastore = knowsDatastore;
  }

  /** @throws TwillError `corrupt`: a damaged file is never replaced in silence, for its MACs and subnets are in use elsewhere. */
  static open(stateDir: string, random: Random, nodeName: string, datastore: string): NodeMemory {
    const path = join(stateDir, "node.json");
    const text = readIfExists(path);
    const before = text === undefined ? fresh(random, nodeName, datastore) : decode(path, text);
    const known = before.datastore === datastore && before.subnets.length > 0;
    const state = new NodeMemory(path, { ...before, nodeName, datastore }, known);
    state.#save();
    return state;
  }

  get file(): NodeFile {
    return this.#file;
  }

  /** The device's address: the kept one, or one derived from the node's identity, then kept. */
  mac(device: string): Mac {
    const kept = this.#file.macs[device];
    if (kept !== undefined) return kept;
    const mac = localMac(createHash("sha256").update(`${this.#file.identity}/${device}`).digest());
    this.#file = { ...this.#file, macs: { ...this.#file.macs, [device]: mac } };
    this.#save();
    return mac;
  }

  setSubnets(subnets: readonly Prefix[]): void {
    this.#file = { ...this.#file, subnets };
    this.#save();
  }

  #save(): void {
    writeIfChanged(this.#path, `${JSON.stringify(this.#file, null, 2)}\n`, { mode: 0o600 });
  }
}

/** As it is, for who looks at a node whose agent is dead. @throws TwillError `corrupt`. */
export function readNodeFile(stateDir: string): NodeFile | undefined {
  const path = join(stateDir, "node.json");
  const text = readIfExists(path);
  return text === undefined ? undefined : decode(path, text);
}

const fresh = (random: Random, nodeName: string, datastore: string): NodeFile => ({
  version: 1,
  identity: Buffer.from(random.bytes(16)).toString("hex"),
  macs: {},
  subnets: [],
  datastore,
  nodeName,
});

function decode(path: string, text: string): NodeFile {
  const damaged = (what: string): TwillError =>
    new TwillError("corrupt", what, {
      operation: "read",
      object: path,
      remedy: "restore it, or remove it: the node then gets new tunnel addresses, and asks for a new subnet",
    });
  let value: Partial<NodeFile>;
  try {
    value = JSON.parse(text) as Partial<NodeFile>;
  } catch {
    throw damaged("it is not JSON");
  }
  if (value === null || typeof value !== "object") throw damaged("it is not an object");
  if (value.version !== 1) throw damaged(`it has version ${String(value.version)}, and this agent knows version 1`);
  const { identity, macs, subnets } = value;
  if (typeof identity !== "string" || !/^[0-9a-f]{32}$/.test(identity))
    throw damaged("`identity` is not 32 hex digits");
  if (
    macs === null ||
    typeof macs !== "object" ||
    !Object.values(macs).every((mac) => tryMac(String(mac)) !== undefined)
  ) {
    throw damaged("`macs` holds what is not an Ethernet address");
  }
  if (!Array.isArray(subnets)) throw damaged("`subnets` is not a list");
  return {
    version: 1,
    identity,
    macs,
    subnets: subnets.map((subnet) => parseStrictPrefix(String(subnet))),
    datastore: String(value.datastore ?? ""),
    nodeName: String(value.nodeName ?? ""),
  };
}
