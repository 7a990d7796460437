import { mkdtempSync } from "node:fs";
import { ControlPlane } from "../../lab/kubernetes/control-plane.ts";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { KubernetesClient } from "../../src/store/kubernetes/client.ts";
import { readKubeconfig } from "../../src/store/kubernetes/kubeconfig.ts";
import type { KubernetesObject } from "../../src/store/kubernetes/object.ts";
import type { Resource } from "../../src/store/kubernetes/resource.ts";

/** One for all test files of a run: starting one takes seconds. */
let starting: Promise<ControlPlane> | undefined;

export function controlPlane(): Promise<ControlPlane> {
  starting ??= start();
  return starting;
}

async function start(): Promise<ControlPlane> {
  const directory = mkdtempSync("/tmp/twill-control-plane-");
  removeAfterUs(directory);
  return await ControlPlane.start({ directory, say: (line) => process.stderr.write(`${line}\n`) });
}

/**
 * However we end: Bun's test runner tells nobody that it does. The servers die with us (ControlPlane), and with us ends
 * what this shell reads from; a second later nobody writes there any more.
 */
function removeAfterUs(directory: string): void {
  const script = 'trap "" INT TERM HUP; read -r _; sleep 1; rm -rf "$1"';
  Bun.spawn(["sh", "-c", script, "sh", directory], { stdin: "pipe", stdout: "ignore", stderr: "ignore" }).unref();
}

export const client = (kubeconfig: string): KubernetesClient =>
  new KubernetesClient(readKubeconfig(kubeconfig, systemClock), { clock: systemClock, random: systemRandom });

export async function admin(): Promise<{
  readonly plane: ControlPlane;
  readonly kubeconfig: string;
  readonly api: KubernetesClient;
}> {
  const plane = await controlPlane();
  const kubeconfig = plane.certificateKubeconfig("admin", plane.admin);
  return { plane, kubeconfig, api: client(kubeconfig) };
}

const rbac = (plural: string, kind: string): Resource => ({
  group: "rbac.authorization.k8s.io",
  version: "v1",
  plural,
  kind,
});
export const NAMESPACES: Resource = { group: "", version: "v1", plural: "namespaces", kind: "Namespace" };
export const SECRETS: Resource = { group: "", version: "v1", plural: "secrets", kind: "Secret" };
export const SERVICE_ACCOUNTS: Resource = {
  group: "",
  version: "v1",
  plural: "serviceaccounts",
  kind: "ServiceAccount",
};
export const ROLES = rbac("roles", "Role");
export const ROLE_BINDINGS = rbac("rolebindings", "RoleBinding");

/** An object to create, with whatever fields it has. */
export type Manifest = KubernetesObject & Readonly<Record<string, unknown>>;

let namespaces = 0;
/** A new one, for one test. */
export async function namespace(api: KubernetesClient): Promise<string> {
  const name = `test-${process.pid}-${namespaces++}`;
  await api.create<Manifest>(NAMESPACES, { name }, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  return name;
}
