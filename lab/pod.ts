import type { Address } from "../src/base/address.ts";
import { parseInterfaceAddress } from "../src/base/prefix.ts";
import { closeFile } from "../src/kernel/file.ts";
import { createNetnsAt, removeNetns } from "../src/kernel/netns.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import { createUts } from "../src/kernel/uts.ts";
import {
  addToNetwork,
  type CniResult,
  type Container,
  deleteFromNetwork,
  type RunPlugin,
  readConfigList,
} from "./cni-chain.ts";
import { onDisk } from "./node-disk.ts";
import { servePod } from "./pod-app.ts";
import { bringUpLoopback } from "./underlay.ts";

const podInterface = "eth0";

/** Whom the cluster knows the pod as. */
export interface PodIdentity {
  readonly namespace: string;
  /** Unique in its namespace, over all nodes. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Another pod of the same name has another one. */
  readonly uid: string;
}

/** A pod, made as a container runtime makes one: a network namespace bound under /run/netns, then the CNI plugins. */
export class Pod {
  /** On its node, for the lab's commands: "pod-a", "shop/web". */
  readonly name: string;
  readonly identity: PodIdentity;
  readonly node: string;
  readonly netns: number;
  readonly uts: number;
  readonly addresses: readonly Address[];
  readonly #nodeDirectory: string;
  readonly #container: Container;
  readonly #result: CniResult;
  readonly #app: { stop(): Promise<void> | void };

  private constructor(made: Made, addresses: readonly Address[], result: CniResult) {
    this.name = made.name;
    this.identity = made.identity;
    this.node = made.node;
    this.netns = made.netns;
    this.#nodeDirectory = made.nodeDirectory;
    this.#container = made.container;
    this.addresses = addresses;
    this.#result = result;
    this.uts = createUts(made.name.replace("/", "."));
    this.#app = servePod(`${made.node}/${made.name}`, made.netns);
  }

  /** All or nothing. @throws TwillError: what the plugin said. */
  static async add(at: PodPlace, identity: PodIdentity, run: RunPlugin): Promise<Pod> {
    const { name, nodeDirectory } = at;
    const id = Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0"));
    const container: Container = {
      id: id.join(""),
      netns: `/run/netns/${name.replace("/", "_")}`,
      ifname: podInterface,
      args: {
        K8S_POD_NAMESPACE: identity.namespace,
        K8S_POD_NAME: identity.name,
        K8S_POD_INFRA_CONTAINER_ID: id.join(""),
        K8S_POD_UID: identity.uid,
      },
    };
    // The directory is shared with the node's mount namespace, so the binding shows there as well.
    const path = onDisk(nodeDirectory, container.netns);
    const netns = createNetnsAt(path);
    try {
      const rtnl = openRtnl({ netns });
      try {
        bringUpLoopback(rtnl);
      } finally {
        rtnl.close();
      }
      const list = readConfigList(onDisk(nodeDirectory, "/etc/cni/net.d"));
      try {
        const result = await addToNetwork(list, container, run);
        const addresses = (result.ips ?? []).map(({ address }) => parseInterfaceAddress(address).address);
        return new Pod({ ...at, identity, netns, container }, addresses, result);
      } catch (error) {
        // As kubelet: what ADD left half-made is taken down by DEL.
        await deleteFromNetwork(list, container, undefined, run).catch(() => {});
        throw error;
      }
    } catch (error) {
      removeNetns(path);
      closeFile(netns);
      throw error;
    }
  }

  /** The plugins' DEL, then the namespace. The namespace goes even when a plugin fails. */
  async delete(run: RunPlugin): Promise<void> {
    const list = readConfigList(onDisk(this.#nodeDirectory, "/etc/cni/net.d"));
    try {
      await deleteFromNetwork(list, this.#container, this.#result, run);
    } finally {
      await this.vanish();
    }
  }

  /** Gone without a DEL, as in a power cut. */
  async vanish(): Promise<void> {
    await this.#app.stop();
    removeNetns(onDisk(this.#nodeDirectory, this.#container.netns));
    closeFile(this.netns);
    closeFile(this.uts);
  }
}

export interface PodPlace {
  readonly name: string;
  readonly node: string;
  readonly nodeDirectory: string;
}

interface Made extends PodPlace {
  readonly identity: PodIdentity;
  readonly netns: number;
  readonly container: Container;
}
