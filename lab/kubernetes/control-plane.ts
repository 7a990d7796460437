import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kubernetesBinary } from "./binaries.ts";
import { CertificateAuthority, type KeyPair } from "./certificates.ts";

/** How a user of a kubeconfig proves who it is: the fields of its `user`. */
export type UserFields = Readonly<Record<string, unknown>>;

export interface ControlPlaneOptions {
  /** Empty or missing; removed by stop(). */
  readonly directory: string;
  readonly say?: (line: string) => void;
}

/** How long kube-apiserver may take to start on a busy machine, milliseconds. */
const START = 300_000;

/** etcd and kube-apiserver on 127.0.0.1 with TLS, client certificates and RBAC; no nodes and no controllers. */
export class ControlPlane {
  readonly directory: string;
  readonly authority: CertificateAuthority;
  /** Member of system:masters. */
  readonly admin: KeyPair;
  readonly server: string;
  readonly #programs: { readonly etcd: string; readonly apiServer: string };
  readonly #ports: { readonly client: number; readonly peer: number; readonly api: number };
  #etcd: Bun.Subprocess | undefined;
  #apiServer: Bun.Subprocess | undefined;

  private constructor(directory: string, etcd: string, apiServer: string) {
    this.directory = directory;
    mkdirSync(join(directory, "pki"), { recursive: true });
    this.authority = new CertificateAuthority(join(directory, "pki"));
    this.admin = this.authority.issue("admin", "/O=system:masters/CN=admin");
    this.#programs = { etcd, apiServer };
    const [client, peer, api] = freePorts(3);
    this.#ports = { client: client ?? 0, peer: peer ?? 0, api: api ?? 0 };
    this.server = `https://127.0.0.1:${this.#ports.api}`;
    this.authority.issue("apiserver", "/CN=kube-apiserver", ["IP:127.0.0.1", "DNS:kubernetes.default.svc"]);
    this.authority.issue("service-accounts", "/CN=service-accounts");
  }

  static async start({ directory, say = () => {} }: ControlPlaneOptions): Promise<ControlPlane> {
    const etcd = await kubernetesBinary("etcd", say);
    const apiServer = await kubernetesBinary("kube-apiserver", say);
    const plane = new ControlPlane(directory, etcd, apiServer);
    const { client, peer } = plane.#ports;
    plane.#etcd = plane.#spawn("etcd", [
      plane.#programs.etcd,
      "--data-dir=etcd-data",
      `--listen-client-urls=http://127.0.0.1:${client}`,
      `--advertise-client-urls=http://127.0.0.1:${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-cluster=default=http://127.0.0.1:${peer}`,
      "--unsafe-no-fsync",
    ]);
    try {
      await plane.startApiServer();
    } catch (error) {
      await plane.stop();
      throw error;
    }
    return plane;
  }

  /** Resolves once it is ready. @throws Error with the end of its log. */
  async startApiServer(): Promise<void> {
    const child = this.#spawn("kube-apiserver", [
      this.#programs.apiServer,
      `--etcd-servers=http://127.0.0.1:${this.#ports.client}`,
      "--bind-address=127.0.0.1",
      "--advertise-address=127.0.0.1",
      "--endpoint-reconciler-type=none",
      `--secure-port=${this.#ports.api}`,
      "--tls-cert-file=pki/ca-apiserver.crt",
      "--tls-private-key-file=pki/ca-apiserver.key",
      "--client-ca-file=pki/ca.crt",
      "--authorization-mode=Node,RBAC",
      "--service-cluster-ip-range=10.96.0.0/16",
      "--service-account-issuer=https://kubernetes.default.svc",
      "--service-account-key-file=pki/ca-service-accounts.crt",
      "--service-account-signing-key-file=pki/ca-service-accounts.key",
    ]);
    this.#apiServer = child;
    const end = performance.now() + START;
    while (!(await this.#ready())) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > end) {
        throw new Error(`kube-apiserver does not start:\n${this.log("kube-apiserver").slice(-3000)}`);
      }
      await Bun.sleep(100);
    }
  }

  /** SIGKILL by default: its connections break. With SIGTERM it says goodbye to its watchers, for at most 5 s. */
  async stopApiServer(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    await end(this.#apiServer, signal);
    this.#apiServer = undefined;
  }

  /** Forgets all revisions before the current one, in etcd and in the API server's own cache: that one by a restart. */
  async compact(): Promise<void> {
    const answer = (await this.#etcdCall("kv/range", { key: btoa("/") })) as { header: { revision: string } };
    await this.#etcdCall("kv/compaction", { revision: answer.header.revision, physical: true });
    await this.stopApiServer();
    await this.startApiServer();
  }

  /** Writes a kubeconfig with this user and returns its path. */
  kubeconfig(name: string, user: UserFields, cluster: UserFields = {}): string {
    const path = join(this.directory, `${name}.kubeconfig`);
    const entry = { server: this.server, "certificate-authority": this.authority.certificate, ...cluster };
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: entry }],
      users: [{ name, user }],
      contexts: [{ name: "test", context: { cluster: "test", user: name } }],
      "current-context": "test",
    };
    writeFileSync(path, Bun.YAML.stringify(config, null, 2), { mode: 0o600 });
    return path;
  }

  /** A kubeconfig of whoever has that client certificate. */
  certificateKubeconfig(name: string, { certificate, key }: KeyPair): string {
    return this.kubeconfig(name, { "client-certificate": certificate, "client-key": key });
  }

  /** What the API server answers the administrator. @throws Error unless it is a success. */
  async get(path: string): Promise<string> {
    const tls = {
      ca: readFileSync(this.authority.certificate, "utf8"),
      cert: readFileSync(this.admin.certificate, "utf8"),
      key: readFileSync(this.admin.key, "utf8"),
    };
    const answer = await fetch(`${this.server}${path}`, { tls, signal: AbortSignal.timeout(5000) });
    const body = await answer.text();
    if (!answer.ok) throw new Error(`GET ${path}: ${body}`);
    return body;
  }

  log(program: "etcd" | "kube-apiserver"): string {
    return readFileSync(join(this.directory, `${program}.log`), "utf8");
  }

  async stop(): Promise<void> {
    await this.stopApiServer();
    await end(this.#etcd, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #ready(): Promise<boolean> {
    return await this.get("/readyz").then(
      () => true,
      () => false,
    );
  }

  /** By etcd's JSON gateway: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/ */
  async #etcdCall(path: string, body: unknown): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.#ports.client}/v3/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    if (!answer.ok) throw new Error(`etcd refused ${path}: ${await answer.text()}`);
    return await answer.json();
  }

  /** Dies with us, however we die. */
  #spawn(name: string, command: readonly string[]): Bun.Subprocess {
    const log = openSync(join(this.directory, `${name}.log`), "a");
    try {
      return Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...command], {
        cwd: this.directory,
        stdin: "ignore",
        stdout: log,
        stderr: log,
      });
    } finally {
      closeSync(log);
    }
  }
}

async function end(child: Bun.Subprocess | undefined, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child === undefined) return;
  child.kill(signal);
  await Promise.race([child.exited, Bun.sleep(5000)]);
  child.kill("SIGKILL");
  await child.exited;
}

/** Not in use now. Asked for together, so that they differ. */
function freePorts(count: number): number[] {
  const held = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } }),
  );
  const ports = held.map((each) => each.port);
  for (const each of held) each.stop(true);
  return ports;
}
