import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kubernetesBinary } from "../../lab/kubernetes/binaries.ts";
import { adminKubeconfig } from "../../lab/kubernetes/settings.ts";
import { onDisk } from "../../lab/node-disk.ts";
import type { TestLab } from "../lab/support.ts";

/** Flannel's own, from its kube-flannel.yml. */
const account = "kube-flannel";
const rules = [
  { apiGroups: [""], resources: ["pods"], verbs: ["get"] },
  { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
  { apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] },
];
const group = "rbac.authorization.k8s.io";
const manifest = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: account } },
  { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "flannel", namespace: account } },
  { apiVersion: `${group}/v1`, kind: "ClusterRole", metadata: { name: "flannel" }, rules },
  {
    apiVersion: `${group}/v1`,
    kind: "ClusterRoleBinding",
    metadata: { name: "flannel" },
    roleRef: { apiGroup: group, kind: "ClusterRole", name: "flannel" },
    subjects: [{ kind: "ServiceAccount", name: "flannel", namespace: account }],
  },
];

/** One node of a lab's Kubernetes whose pod network is flanneld, with Debian's bridge and host-local for its pods. */
export class FlannelNode {
  readonly name: string;
  readonly #lab: TestLab;
  readonly #folder: string;

  constructor(lab: TestLab, name: string) {
    this.#lab = lab;
    this.name = name;
    this.#folder = join(lab.directory, "flanneld", name);
  }

  /** What flanneld said since it was installed, over all its lives. */
  get log(): string {
    return readFileSync(join(this.#folder, "log"), "utf8");
  }

  /** Once a cluster. The node need not be there yet. */
  async install(): Promise<void> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const objects = join(this.#folder, "objects.yaml");
    writeFileSync(objects, manifest.map((object) => JSON.stringify(object)).join("\n---\n"));
    await this.#kubectl("apply", "-f", objects);
    const token = (await this.#kubectl("-n", account, "create", "token", "flannel", "--duration=8h")).trim();
    const config = Bun.YAML.parse(readFileSync(adminKubeconfig(this.#lab.directory), "utf8")) as Kubeconfig;
    const users = config.users.map(({ name }) => ({ name, user: { token } }));
    writeFileSync(join(this.#folder, "kubeconfig"), JSON.stringify({ ...config, users }), { mode: 0o600 });
  }

  /** Resolves once pods can be added. @param network net-conf.json. @throws Error with the end of its log. */
  async start(network: object): Promise<void> {
    const program = await kubernetesBinary("flanneld", (line) => process.stderr.write(`${line}\n`));
    const path = (file: string) => join(this.#folder, file);
    writeFileSync(path("net-conf.json"), JSON.stringify(network));
    rmSync(this.#onNode("/run/flannel/subnet.env"), { force: true });
    await this.#registered();
    const flags = [
      ...["--kube-subnet-mgr", `--kubeconfig-file=${path("kubeconfig")}`, `--net-config-path=${path("net-conf.json")}`],
      ...["--iface=eth0", "--ip-masq", "-v=5"],
    ];
    const script = `echo $$ > ${path("pid")}; NODE_NAME=${this.name} exec ${program} ${flags.join(" ")} >> ${path("log")} 2>&1`;
    await this.exec("sh", "-c", `setsid sh -c '${script}' < /dev/null > /dev/null 2>&1 &`);
    await this.#installPlugins(await this.#subnetFile());
  }

  /** As the kubelet ends it: what it made in the kernel stays. */
  async stop(): Promise<void> {
    await this.exec("sh", "-c", `kill $(cat ${join(this.#folder, "pid")})`);
  }

  exec(...command: string[]): Promise<string> {
    return this.#lab.do("exec", this.name, "--", ...command);
  }

  /** As for a pod, which the API server gives to a Node that it knows. */
  async #registered(): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      if ((await this.#kubectl("get", "node", this.name, "--ignore-not-found", "-o", "name")) !== "") return;
      if (performance.now() > deadline) throw new Error(`the kubelet of ${this.name} has not registered its Node`);
      await Bun.sleep(100);
    }
  }

  #kubectl(...args: string[]): Promise<string> {
    return this.#lab.do("exec", "control", "--", "kubectl", ...args);
  }

  #onNode(path: string): string {
    return onDisk(join(this.#lab.directory, "nodes", this.name), path);
  }

  async #subnetFile(): Promise<SubnetFile> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      try {
        const text = readFileSync(this.#onNode("/run/flannel/subnet.env"), "utf8");
        return Object.fromEntries(
          text
            .trim()
            .split("\n")
            .map((line) => line.split("=") as [string, string]),
        );
      } catch {
        if (performance.now() > deadline) throw new Error(`flanneld wrote no subnet.env:\n${this.log.slice(-3000)}`);
        await Bun.sleep(100);
      }
    }
  }

  /** What Flannel's CNI plugin would call with subnet.env's values and the delegate of kube-flannel.yml. */
  async #installPlugins({ FLANNEL_SUBNET = "", FLANNEL_MTU = "", FLANNEL_NETWORK = "" }: SubnetFile): Promise<void> {
    for (const plugin of ["bridge", "host-local"])
      copyFileSync(`/usr/lib/cni/${plugin}`, this.#onNode(`/opt/cni/bin/${plugin}`));
    const bridge = {
      type: "bridge",
      bridge: "cni0",
      mtu: Number(FLANNEL_MTU),
      hairpinMode: true,
      isDefaultGateway: true,
      ipMasq: false,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: FLANNEL_SUBNET.replace(/\.1\//, ".0/") }]],
        routes: [{ dst: FLANNEL_NETWORK }],
      },
    };
    const list = { name: "cbr0", cniVersion: "1.0.0", plugins: [bridge] };
    const path = this.#onNode("/etc/cni/net.d/10-flannel.conflist");
    // containerd reads a file that is renamed into place.
    writeFileSync(`${path}.new`, JSON.stringify(list));
    await this.exec("mv", "/etc/cni/net.d/10-flannel.conflist.new", "/etc/cni/net.d/10-flannel.conflist");
  }
}

type SubnetFile = Readonly<Record<string, string>>;

interface Kubeconfig {
  readonly users: readonly { readonly name: string }[];
}
