import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import type { KubernetesObject } from "../../../src/store/kubernetes/object.ts";
import { PODS, type Resource } from "../../../src/store/kubernetes/resource.ts";
import { inParallel } from "./simulated-nodes.ts";

const namespace = "default";
const serviceAccounts: Resource = { group: "", version: "v1", plural: "serviceaccounts", kind: "ServiceAccount" };
const podName = (number: number): string => `pod-${number}`;

/** Pods as their kubelets report them, on nodes that are not there. */
export class SimulatedPods {
  readonly #api: KubernetesClient;
  #count = 0;

  constructor(api: KubernetesClient) {
    this.#api = api;
  }

  get count(): number {
    return this.#count;
  }

  /** So many, spread over these nodes, running, with addresses. Once. */
  async add(count: number, nodes: readonly string[]): Promise<void> {
    const metadata = { name: "default", namespace };
    await this.#api.create(serviceAccounts, metadata, { apiVersion: "v1", kind: "ServiceAccount", metadata });
    await inParallel(count, async (number) => {
      const name = podName(number);
      const pod = podOn(name, nodes[number % nodes.length] ?? "");
      await this.#api.create<SimulatedPod>(PODS, { namespace, name }, pod);
      await this.change(number);
    });
    this.#count = count;
  }

  /** What a kubelet reports of a pod that has come up, or has changed. @returns bytes sent and answered, as JSON. */
  async change(number: number): Promise<number> {
    const ip = `10.${(number >> 8) & 255}.${number & 255}.7`;
    const now = new Date().toISOString().replace(/\.\d+/, "");
    const status = {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      startTime: now,
      conditions: ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(
        (type) => ({
          type,
          status: "True",
          lastTransitionTime: now,
        }),
      ),
    };
    const place = { namespace, name: podName(number), subresource: "status" };
    const answer = await this.#api.patch(PODS, place, { status }, "strategic");
    return JSON.stringify({ status }).length + JSON.stringify(answer).length;
  }
}

type SimulatedPod = KubernetesObject & { readonly spec: object };

const podOn = (name: string, nodeName: string): SimulatedPod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace, labels: { app: "simulated", "pod-template-hash": "5d4f8c7b9" } },
  spec: {
    nodeName,
    automountServiceAccountToken: false,
    containers: [{ name: "app", image: "registry.example.com/some-project/an-image:v1.0.0" }],
  },
});
