import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export const KUBERNETES_VERSION = "v1.36.3";
const FLANNEL_VERSION = "v0.26.7";

/** What can be built, and from where: `module` is a folder beside this file with its own go.mod. */
const kube = { module: "kube", flags: `-s -w ${stamp()}` };
const containerd = { module: "containerd", flags: "-s -w" };
const clusterPrograms = {
  etcd: { module: "etcd", package: ".", flags: "-s -w" },
  "kube-apiserver": { ...kube, package: "./apiserver" },
  "kube-controller-manager": { ...kube, package: "./controller-manager" },
  "kube-scheduler": { ...kube, package: "./scheduler" },
  kubelet: { ...kube, package: "./kubelet" },
  kubectl: { ...kube, package: "k8s.io/kubernetes/cmd/kubectl" },
  agnhost: { ...kube, package: "k8s.io/kubernetes/test/images/agnhost" },
  containerd: { ...containerd, package: "github.com/containerd/containerd/v2/cmd/containerd" },
  "containerd-shim-runc-v2": {
    ...containerd,
    package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
  },
  ctr: { ...containerd, package: "github.com/containerd/containerd/v2/cmd/ctr" },
  pause: { module: "pause", package: ".", flags: "-s -w" },
} as const;
const cni = { module: "cni", flags: "-s -w" };
const plugins = "github.com/containernetworking/plugins/plugins";
/** Of others, to run beside Twill: built only for the tests that want them. */
const peerPrograms = {
  flanneld: {
    module: "flannel",
    package: "github.com/flannel-io/flannel",
    flags: `-s -w -X github.com/flannel-io/flannel/pkg/version.Version=${FLANNEL_VERSION}`,
    cgo: true, // its backend udp
  },
  cnitool: { ...cni, package: "github.com/containernetworking/cni/cnitool" },
  bandwidth: { ...cni, package: `${plugins}/meta/bandwidth` },
  portmap: { ...cni, package: `${plugins}/meta/portmap` },
  sbr: { ...cni, package: `${plugins}/meta/sbr` },
  tuning: { ...cni, package: `${plugins}/meta/tuning` },
  multus: { module: "multus", package: "gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/multus", flags: "-s -w" },
  helm: { module: "helm", package: "helm.sh/helm/v3/cmd/helm", flags: "-s -w" },
} as const;
const programs = { ...clusterPrograms, ...peerPrograms };
export type Program = keyof typeof programs;
/** That a cluster consists of. */
export const allPrograms = Object.keys(clusterPrograms) as readonly (keyof typeof clusterPrograms)[];

/** And those that its tests want beside it. */
export const testPrograms = Object.keys(programs) as readonly Program[];

interface Source {
  readonly module: string;
  readonly package: string;
  readonly flags: string;
  readonly cgo?: boolean;
}

/** Without it a kube-apiserver says that it is v0.0.0, and clients take it at its word. */
function stamp(): string {
  const [major, minor] = KUBERNETES_VERSION.slice(1).split(".");
  const fields = { gitVersion: KUBERNETES_VERSION, gitMajor: major, gitMinor: minor };
  return Object.entries(fields)
    .map(([field, value]) => `-X k8s.io/component-base/version.${field}=${value}`)
    .join(" ");
}

/** Outside of the checkout: building takes minutes, and outlives it. */
export const cacheDirectory = (): string =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "twill", "kubernetes-1.36");

/**
 * The path of a program, built from its Go module if it is not there yet (etcd: 1 minute, flanneld: 2, kube-apiserver: up
 * to 10, on one core). Another version of its module, or other flags, build it anew. @throws Error with what `go build` said.
 */
export async function kubernetesBinary(program: Program, say: (line: string) => void): Promise<string> {
  const source: Source = programs[program];
  const { module, package: main, flags, cgo = false } = source;
  const directory = cacheDirectory();
  const path = join(directory, program);
  const mark = `${path}.built-from`;
  const sources = join(import.meta.dir, module);
  const wanted = new Bun.CryptoHasher("sha256").update(flags).update(sourceText(sources)).digest("hex");
  if (existsSync(path) && existsSync(mark) && readFileSync(mark, "utf8") === wanted) return path;

  if (Bun.which("go") === null)
    throw new Error(
      `${program} is built from its Go module, and there is no "go" on the PATH: install Go 1.26 or later`,
    );
  say(`building ${program} from its Go module (once; it is kept in ${directory}) …`);
  const started = performance.now();
  mkdirSync(directory, { recursive: true });
  // Built beside and renamed: another process may build or run the same.
  const temporary = `${path}.${process.pid}`;
  const build = ["go", "build", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", temporary, main];
  const child = Bun.spawn(["nice", ...build], {
    cwd: sources,
    env: { ...process.env, CGO_ENABLED: cgo ? "1" : "0", GOWORK: "off" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [complaint, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0) {
    rmSync(temporary, { force: true });
    throw new Error(`${program} could not be built:\n${complaint.slice(-2000)}`);
  }
  renameSync(temporary, path);
  writeFileSync(mark, wanted);
  say(`built ${program} in ${Math.round((performance.now() - started) / 1000)} s`);
  return path;
}

/** All files of a module, with their names: small ones. */
function sourceText(directory: string): string {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(go|mod|sum)$/.test(name))
    .sort()
    .map((name) => `${name}\n${readFileSync(join(directory, name), "utf8")}`)
    .join("\n");
}
