import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { objects } from "../../scripts/deploy/objects.ts";
import { toDocuments } from "../../scripts/deploy/yaml.ts";
import { imageRoot } from "../../scripts/image/root.ts";
import { tar } from "../../scripts/image/tar.ts";

/** A container of the DaemonSet, as far as its own words decide what it may do. */
export interface ContainerSpec {
  readonly name: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly securityContext: {
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add: readonly string[] };
  };
  readonly volumeMounts: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly mountPropagation?: string;
    readonly readOnly?: boolean;
  }[];
}

interface PodSpec {
  readonly containers: readonly ContainerSpec[];
  readonly initContainers: readonly ContainerSpec[];
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
}

/** The pod of deploy/twill.yaml. */
export function podSpec(): PodSpec {
  const documents = Bun.YAML.parse(toDocuments(objects(), "values")) as {
    kind: string;
    spec: { template: { spec: PodSpec } };
  }[];
  const daemonSet = documents.find(({ kind }) => kind === "DaemonSet");
  if (daemonSet === undefined) throw new Error("no DaemonSet in the manifest");
  return daemonSet.spec.template.spec;
}

/**
 * Runs the pod's containers with runc, as a container runtime would by their securityContext and volumeMounts: our image's root,
 * the capabilities that are named, a read-only root and /proc/sys, a PID namespace, no network namespace of its own.
 */
export class ContainerHost {
  readonly directory = mkdtempSync(join(tmpdir(), "twill-container-"));
  readonly #root = join(this.directory, "rootfs");
  readonly #folders: Readonly<Record<string, string>>;

  /** @param folders by volume, what stands for the node's directory. */
  constructor(executable: string, folders: Readonly<Record<string, string>>) {
    this.#folders = folders;
    mkdirSync(this.#root);
    writeFileSync(join(this.directory, "root.tar"), tar(imageRoot(executable)));
    Bun.spawnSync(["tar", "-xpf", join(this.directory, "root.tar"), "-C", this.#root]);
  }

  /** Writes the bundle that `runc run --bundle DIRECTORY` takes, and returns its path. */
  bundle(spec: ContainerSpec, args: readonly string[], capabilities = spec.securityContext.capabilities.add): string {
    const { securityContext, command, volumeMounts } = spec;
    const held = capabilities.map((name) => `CAP_${name}`);
    const config = {
      ociVersion: "1.0.2",
      process: {
        user: { uid: 0, gid: 0 },
        args: [...command, ...(spec.args ?? []), ...args],
        env: ["PATH=/usr/local/bin"],
        cwd: "/",
        capabilities: { bounding: held, effective: held, permitted: held },
        noNewPrivileges: !securityContext.allowPrivilegeEscalation,
      },
      root: { path: this.#root, readonly: securityContext.readOnlyRootFilesystem },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
        ...volumeMounts.map(({ name, mountPath, mountPropagation, readOnly }) => ({
          destination: mountPath,
          type: "bind",
          source: this.#source(name),
          options: [
            "rbind",
            mountPropagation === "HostToContainer" ? "rslave" : "rprivate",
            ...(readOnly === true ? ["ro"] : []),
          ],
        })),
      ],
      linux: {
        namespaces: [{ type: "pid" }, { type: "mount" }, { type: "ipc" }],
        maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
        readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
      },
    };
    const bundle = mkdtempSync(join(this.directory, `${spec.name}-`));
    writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
    return bundle;
  }

  #source(volume: string): string {
    const folder = this.#folders[volume];
    if (folder === undefined) throw new Error(`nothing stands for the volume ${volume}`);
    return folder;
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
