import { join } from "node:path";
import type { Address } from "../../src/base/address.ts";
import { TwillError } from "../../src/base/errors.ts";
import { addressAt, prefixFamily } from "../../src/base/prefix.ts";
import type { AgentAction } from "../api.ts";
import type { Progress } from "../control.ts";
import { LoggedProcess } from "../logged-process.ts";
import type { LabNode } from "../node.ts";
import { ownChild } from "../orphans.ts";
import { labEnvironment } from "../settings.ts";
import { AdminClient } from "./admin-client.ts";
import { Credentials } from "./credentials.ts";
import { type ClusterRanges, kubernetesDirectory } from "./settings.ts";

/** On a busy machine; alone it takes 3 s. */
const readyWithin = 120_000;

export const components = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
export type Component = (typeof components)[number];

/**
 * The machine `control`: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, reached over the underlay as
 * the nodes reach it. No kubelet runs there.
 */
export class ControlMachine {
  readonly machine: LabNode;
  readonly credentials: Credentials;
  readonly client: AdminClient;
  readonly ranges: ClusterRanges;
  readonly #directory: string;
  readonly #running = new Map<Component, LoggedProcess>();

  /** @param machine switched on. */
  constructor(machine: LabNode, ranges: ClusterRanges) {
    const { directory } = machine.settings;
    this.machine = machine;
    this.ranges = ranges;
    this.#directory = kubernetesDirectory(directory);
    this.credentials = new Credentials(this.#directory, this.address);
    this.client = new AdminClient(this.credentials);
    this.#issue();
  }

  /** Of the API server. */
  get address(): Address {
    const [first] = this.machine.plan.addresses;
    if (first === undefined) throw new RangeError("a machine has an address for each family");
    return first.address;
  }

  /** In the order in which they need each other. Resolves once the API server is ready. */
  async start(progress: Progress, signal: AbortSignal): Promise<void> {
    progress("starting etcd and kube-apiserver");
    for (const name of components) await this.#start(name, signal);
  }

  /** SIGTERM, SIGKILL, or the same command line again. The others notice, and wait for it. */
  async act(name: Component, action: AgentAction, signal: AbortSignal): Promise<void> {
    const running = this.#running.get(name);
    if (action === "start" && running?.isRunning === true)
      throw new TwillError("exists", "it runs already", { operation: "start", object: name });
    if (action !== "start") await running?.end(action === "kill" ? "SIGKILL" : "SIGTERM");
    if (action === "start" || action === "restart") await this.#start(name, signal);
  }

  /** Resolves once the API server is ready, the others at once. */
  async #start(name: Component, signal: AbortSignal): Promise<void> {
    const started = this.#spawn(name);
    if (name !== "kube-apiserver") return;
    const isReady = async () => ((await this.client.get("/readyz")) === "ok" ? undefined : "it is not ready");
    await started.awaitReady(isReady, readyWithin, signal, 100);
  }

  #spawn(name: Component): LoggedProcess {
    const { directory, programs } = this.machine.settings;
    const started = new LoggedProcess({
      operation: "start",
      object: name,
      command: this.machine.enter([name, ...this.#flags()[name]]),
      logPath: join(this.#directory, `${name}.log`),
      environment: labEnvironment(directory, programs),
    });
    this.#running.set(name, started);
    return started;
  }

  /** As a person at the control plane would. @throws TwillError `unavailable` with what it said. */
  async kubectl(...args: string[]): Promise<string> {
    const { directory, programs } = this.machine.settings;
    const child = ownChild(
      Bun.spawn(this.machine.enter(["kubectl", ...args]), {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...labEnvironment(directory, programs), KUBECONFIG: this.credentials.adminKubeconfig },
      }),
    );
    const [said, complaint] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    if ((await child.exited) === 0) return said;
    throw new TwillError("unavailable", complaint.trim(), { operation: "run kubectl", object: args.join(" ") });
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  #issue(): void {
    const { authority } = this.credentials;
    const names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "control"];
    authority.issue("apiserver", "/CN=kube-apiserver", [
      ...names.map((name) => `DNS:${name}`),
      ...this.machine.plan.addresses.map(({ address }) => `IP:${address}`),
      ...this.ranges.services.map((range) => `IP:${addressAt(range, 1n)}`),
      "IP:127.0.0.1",
    ]);
    authority.issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client");
    authority.issue("service-accounts", "/CN=service-accounts");
    for (const name of ["kube-controller-manager", "kube-scheduler"])
      this.credentials.kubeconfig(this.#path(`${name}.kubeconfig`), name, `/CN=system:${name}`);
  }

  #flags(): Readonly<Record<Component, readonly string[]>> {
    const pki = (name: string) => this.#path(`pki/ca-${name}`);
    const authority = this.credentials.authority.certificate;
    const services = this.ranges.services.join(",");
    const withKubeconfig = (name: string) =>
      ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"].map(
        (flag) => `--${flag}=${this.#path(`${name}.kubeconfig`)}`,
      );
    const etcd = "http://127.0.0.1:2379";
    return {
      etcd: [
        `--data-dir=${this.#path("etcd")}`,
        ...[`--listen-client-urls=${etcd}`, `--advertise-client-urls=${etcd}`],
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync", // a lab that a power cut ends is gone anyway
      ],
      "kube-apiserver": [
        `--etcd-servers=${etcd}`,
        `--advertise-address=${this.address}`,
        `--service-cluster-ip-range=${services}`,
        "--service-account-issuer=https://kubernetes.default.svc",
        `--service-account-key-file=${pki("service-accounts.crt")}`,
        `--service-account-signing-key-file=${pki("service-accounts.key")}`,
        `--client-ca-file=${authority}`,
        `--tls-cert-file=${pki("apiserver.crt")}`,
        `--tls-private-key-file=${pki("apiserver.key")}`,
        `--kubelet-certificate-authority=${authority}`,
        `--kubelet-client-certificate=${pki("kubelet-client.crt")}`,
        `--kubelet-client-key=${pki("kubelet-client.key")}`,
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
      ],
      "kube-controller-manager": [
        ...withKubeconfig("kube-controller-manager"),
        `--root-ca-file=${authority}`,
        `--service-account-private-key-file=${pki("service-accounts.key")}`,
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=true",
        `--cluster-cidr=${this.ranges.pods.map(({ network }) => network).join(",")}`,
        `--service-cluster-ip-range=${services}`,
        ...this.#maskSizes(),
        "--leader-elect=false",
      ],
      "kube-scheduler": [...withKubeconfig("kube-scheduler"), "--leader-elect=false"],
    };
  }

  /** One flag for a cluster of one family, another two for both. */
  #maskSizes(): string[] {
    const { pods } = this.ranges;
    return pods.map(({ network, subnetLength }) =>
      pods.length === 1
        ? `--node-cidr-mask-size=${subnetLength}`
        : `--node-cidr-mask-size-ipv${prefixFamily(network)}=${subnetLength}`,
    );
  }
}
