import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import type { Cluster } from "../cluster.ts";
import type { Progress } from "../control.ts";
import { containedBootId } from "../node-disk.ts";
import type { ControlMachine } from "./control-machine.ts";
import { kubernetesDirectory } from "./settings.ts";

/** On a busy machine; alone it takes 5 s. */
const readyWithin = 180_000;

/**
 * As a user does: edits the two ConfigMaps of deploy/twill.yaml, and `kubectl apply -f`. Resolves once the DaemonSet is
 * rolled out and all nodes are Ready. Nothing happens in a lab without Kubernetes.
 */
export async function installTwill(
  cluster: Cluster,
  config: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const { control, settings } = cluster;
  const manifest = settings.kubernetes?.manifest;
  if (control === undefined || manifest === undefined) return;
  progress("installing Twill");
  const edited = join(kubernetesDirectory(settings.directory), "twill.yaml");
  writeFileSync(edited, editManifest(readFileSync(manifest, "utf8"), config, control));
  await control.kubectl("apply", "-f", edited);
  await awaitReadyNodes(cluster, control, progress, signal);
  progress("waiting for Twill's DaemonSet");
  const timeout = `--timeout=${readyWithin / 1000}s`;
  await control.kubectl("--namespace=twill-system", "rollout", "status", "daemonset/twill-agent", timeout);
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  data?: Record<string, string>;
}

/**
 * The network of this lab, the API server's own address, for no kube-proxy stands in for it here, and where a node's boot
 * shows, for the kernel's own boot id is the machine's.
 */
function editManifest(text: string, config: string, control: ControlMachine): string {
  const documents = [Bun.YAML.parse(text)].flat() as Manifest[];
  const set = (name: string, data: Record<string, string>) => {
    const found = documents.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === name);
    if (found === undefined)
      throw new TwillError("invalid", `the manifest has no ConfigMap ${name}`, { operation: "install Twill" });
    found.data = data;
  };
  set("twill-config", { "net-conf.json": config });
  set("twill-environment", {
    TWILL_API_SERVER: `https://${control.address}:6443`,
    TWILL_BOOT_ID_FILE: containedBootId,
  });
  return documents.map((document) => Bun.YAML.stringify(document, null, 2)).join("\n---\n");
}

/** @throws TwillError `unavailable` naming the nodes that are not Ready in time. */
async function awaitReadyNodes(
  cluster: Cluster,
  control: ControlMachine,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + readyWithin;
  const total = cluster.nodes.length;
  for (;;) {
    const known = await control.client.nodes();
    const waiting = cluster.nodes.map(({ plan }) => plan.name).filter((name) => known.get(name) !== true);
    if (waiting.length === 0) return;
    progress(`waiting for nodes to be Ready: ${total - waiting.length} of ${total}`);
    signal.throwIfAborted();
    if (performance.now() > deadline)
      throw new TwillError("unavailable", `not Ready after ${readyWithin / 1000} s: ${waiting.join(", ")}`, {
        operation: "start Kubernetes",
        remedy: `look into nodes/${waiting[0]}/kubelet.log of the lab's directory`,
      });
    await Bun.sleep(200);
  }
}
