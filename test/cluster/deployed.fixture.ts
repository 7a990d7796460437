import { join } from "node:path";
import { kubernetesBinary } from "../../lab/kubernetes/binaries.ts";
import type { KubernetesClient } from "../../src/store/kubernetes/client.ts";
import type { KubernetesObject } from "../../src/store/kubernetes/object.ts";
import { NODES, PODS } from "../../src/store/kubernetes/resource.ts";
import { admin, type Manifest } from "./control-plane.fixture.ts";

export const deploy = join(import.meta.dir, "../../deploy");
export const system = "twill-system";
const account = "twill-agent";

/** A control plane to which deploy/twill.yaml was applied. Nothing runs there: no kubelet starts the DaemonSet's pods. */
export interface Deployed {
  readonly plane: Awaited<ReturnType<typeof admin>>["plane"];
  readonly api: KubernetesClient;
  kubectl(args: readonly string[], stdin?: string): { stdout: string; stderr: string; exitCode: number };
  /** The Node of that name, made anew. */
  node(name: string, fields?: Readonly<Record<string, unknown>>): Promise<void>;
  /** No Node is left of the test files before: agents would find peers in them. */
  withoutNodes(): Promise<void>;
  /** A kubeconfig of the agent on that node: its token is bound to a pod there, as a kubelet would mount it. */
  agentOn(node: string): Promise<string>;
}

let deploying: Promise<Deployed> | undefined;
/** One for all test files of a run. Its namespace cannot be deleted: that is a controller's work. */
export function deployed(): Promise<Deployed> {
  deploying ??= start();
  return deploying;
}

async function start(): Promise<Deployed> {
  const program = await kubernetesBinary("kubectl", (line) => process.stderr.write(`twill: ${line}\n`));
  const { plane, kubeconfig, api } = await admin();
  const kubectl: Deployed["kubectl"] = (args, stdin = "") => {
    const result = Bun.spawnSync([program, "--kubeconfig", kubeconfig, ...args], {
      stdin: new TextEncoder().encode(stdin),
      timeout: 50_000,
    });
    return { stdout: result.stdout.toString(), stderr: result.stderr.toString(), exitCode: result.exitCode };
  };
  const applied = kubectl(["apply", "--validate=strict", "-f", join(deploy, "twill.yaml")]);
  if (applied.exitCode !== 0 || applied.stderr !== "") throw new Error(applied.stderr);
  return {
    plane,
    api,
    kubectl,
    async node(name, fields = {}) {
      await api.delete(NODES, { name }).catch(() => {});
      await api.create<Manifest>(NODES, { name }, { apiVersion: "v1", kind: "Node", metadata: { name }, ...fields });
    },
    async withoutNodes() {
      for (const { metadata } of (await api.list(NODES)).items) await api.delete(NODES, { name: metadata.name });
    },
    async agentOn(node) {
      const { uid = "" } = (await podOn(api, node, `agent-${node}`)).metadata;
      const bound = ["--bound-object-kind=Pod", `--bound-object-name=agent-${node}`, `--bound-object-uid=${uid}`];
      const { stdout, stderr, exitCode } = kubectl(["-n", system, "create", "token", account, ...bound]);
      if (exitCode !== 0) throw new Error(stderr);
      return plane.kubeconfig(`agent-${node}`, { token: stdout.trim() });
    },
  };
}

/** A pod in the system's namespace that a scheduler would have put on that node; made anew. */
export async function podOn(api: KubernetesClient, node: string, name: string): Promise<KubernetesObject> {
  const place = { namespace: system, name };
  await api.delete(PODS, place).catch(() => {});
  return await api.create<Manifest>(PODS, place, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: place,
    spec: {
      nodeName: node,
      hostNetwork: true,
      // Without a kubelet nobody else would end it.
      terminationGracePeriodSeconds: 0,
      serviceAccountName: account,
      automountServiceAccountToken: false,
      containers: [{ name: "app", image: "app" }],
    },
  });
}
