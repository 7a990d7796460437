import { parseAddress } from "../../../src/base/address.ts";
import { parsePrefix } from "../../../src/base/prefix.ts";
import { encodeLease } from "../../../src/intent/flannel/lease.ts";
import { nodeLeases } from "../../../src/intent/flannel/node-annotations.ts";
import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import type { KubernetesObject } from "../../../src/store/kubernetes/object.ts";
import { NODES } from "../../../src/store/kubernetes/resource.ts";

export const nodeName = (number: number): string => `node-${number}`;
/** How often a kubelet reports although nothing changed, milliseconds (nodeStatusReportFrequency). Its Lease says that it lives. */
export const reportEvery = 5 * 60_000;
/** A kubelet names so many images of its node (nodeStatusMaxImages): most of a Node's bytes. */
const images = 50;
const conditions = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];

/** Work that is numbered from 0, as much at once as a client sends. */
export async function inParallel(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/** Nodes of a large cluster as the API server holds them, without the machines: as large as real ones, and reporting. */
export class SimulatedNodes {
  readonly #api: KubernetesClient;
  readonly #first: number;
  #count = 0;

  /** @param first the number of the first. */
  constructor(api: KubernetesClient, first = 0) {
    this.#api = api;
    this.#first = first;
  }

  get names(): string[] {
    return Array.from({ length: this.#count }, (_, index) => nodeName(this.#first + index));
  }

  /** So many more, registered by their kubelets and announced by their agents. */
  async add(count: number): Promise<void> {
    const from = this.#first + this.#count;
    await inParallel(count, (index) => this.#register(from + index));
    this.#count += count;
  }

  /** Reports of one kubelet after the other, as many a second as so many nodes send, until the signal is raised. */
  async report(signal: AbortSignal): Promise<void> {
    for (let next = 0; !signal.aborted; next = (next + 1) % this.#count) {
      const began = performance.now();
      await this.#status(this.#first + next).catch(() => {}); // the API server may be away: the next report is as good
      await Bun.sleep(Math.max(0, reportEvery / this.#count - (performance.now() - began)));
    }
  }

  async #register(number: number): Promise<void> {
    const name = nodeName(number);
    const annotations = { ...nodeLeases.annotations(lease(number)), "node.alpha.kubernetes.io/ttl": "300" };
    const metadata = { name, annotations: annotations as Record<string, string>, labels: labelsOf(name) };
    const spec = { podCIDR: podCidr(number), podCIDRs: [podCidr(number)], providerID: `simulated:///${name}` };
    await this.#api.create<SimulatedNode>(NODES, { name }, { apiVersion: "v1", kind: "Node", metadata, spec });
    await this.#status(number);
  }

  async #status(number: number): Promise<void> {
    const patch = { status: statusOf(number, new Date()) };
    await this.#api.patch(NODES, { name: nodeName(number), subresource: "status" }, patch, "strategic");
  }
}

type SimulatedNode = KubernetesObject & { readonly spec: object };

const high = (number: number): number => number >> 8;
const low = (number: number): number => number & 255;
const podCidr = (number: number): string => `10.${high(number)}.${low(number)}.0/24`;
const addressOf = (number: number): string => `172.16.${high(number)}.${low(number)}`;

function lease(number: number): Uint8Array {
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  return encodeLease({
    node: nodeName(number),
    id: `00000000-0000-4000-8000-0000000${hex(high(number))}${hex(low(number))}`,
    subnets: [parsePrefix(podCidr(number))],
    addresses: [parseAddress(addressOf(number))],
    backendType: "vxlan",
    backendData: { 4: { VNI: 1, VtepMAC: `0e:00:00:00:${hex(high(number))}:${hex(low(number))}` } },
    underlays: [parsePrefix(`172.16.${high(number)}.0/24`)],
    peerPort: 8473,
  });
}

const labelsOf = (name: string): Record<string, string> => ({
  "kubernetes.io/arch": "amd64",
  "kubernetes.io/os": "linux",
  "kubernetes.io/hostname": name,
  "node.kubernetes.io/instance-type": "simulated.2xlarge",
  "topology.kubernetes.io/region": "simulated-1",
  "topology.kubernetes.io/zone": "simulated-1a",
});

/** As kubelet 1.36 writes it. */
function statusOf(number: number, now: Date): object {
  const amount = { cpu: "8", "ephemeral-storage": "101430960Ki", memory: "32597916Ki", pods: "110" };
  const digest = (index: number) => new Bun.CryptoHasher("sha256").update(String(index)).digest("hex");
  return {
    addresses: [
      { type: "InternalIP", address: addressOf(number) },
      { type: "Hostname", address: nodeName(number) },
    ],
    capacity: amount,
    allocatable: amount,
    conditions: conditions.map((type) => ({
      type,
      status: type === "Ready" ? "True" : "False",
      lastHeartbeatTime: now.toISOString().replace(/\.\d+/, ""),
      lastTransitionTime: "2026-01-01T00:00:00Z",
      reason: `Kubelet${type}`,
      message: `kubelet has something to say about ${type}`,
    })),
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
    images: Array.from({ length: images }, (_, index) => ({
      names: [
        `registry.example.com/some-project/an-image-${index}@sha256:${digest(index)}`,
        `registry.example.com/some-project/an-image-${index}:v1.${index}.0`,
      ],
      sizeBytes: 100_000_000 + index,
    })),
    nodeInfo: {
      architecture: "amd64",
      bootID: "5a2f9a4e-0000-4000-8000-000000000000",
      containerRuntimeVersion: "containerd://2.4.2",
      kernelVersion: "6.18.44",
      kubeProxyVersion: "",
      kubeletVersion: "v1.36.3",
      machineID: "0123456789abcdef0123456789abcdef",
      operatingSystem: "linux",
      osImage: "Debian GNU/Linux 12 (bookworm)",
      systemUUID: "01234567-89ab-cdef-0123-456789abcdef",
    },
  };
}
