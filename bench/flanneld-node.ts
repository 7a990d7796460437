import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startInBackground } from "./background.ts";
import { Namespace } from "./namespace.ts";
import { flannelLeaseOf } from "./peer.ts";

const prefix = "/coreos.com/network";
const url = "http://127.0.0.1:2379";

/** A node with nobody around, on which flanneld runs, and the etcd that it asks. */
export class FlanneldNode {
  readonly netns = new Namespace();
  readonly #folder: string;
  readonly #flanneld: string;
  readonly #etcd: Bun.Subprocess;
  #writer: Bun.Subprocess<"pipe", "pipe", "inherit"> | undefined;
  #answers: AsyncIterator<string> | undefined;
  #daemon: Bun.Subprocess | undefined;

  constructor(programs: { readonly etcd: string; readonly flanneld: string }, folder: string) {
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
    this.#flanneld = programs.flanneld;
    for (const command of [
      "ip link set lo up",
      "ip link add eth0 type veth peer name nowhere",
      "ip addr add 192.0.2.1/24 dev eth0",
      "ip link set nowhere up",
      "ip link set eth0 up",
      "ip route add default via 192.0.2.254",
    ])
      this.netns.run(command);
    const log = openSync(join(folder, "etcd.log"), "a", 0o600);
    this.#etcd = this.netns.enter(() =>
      startInBackground([programs.etcd, "--data-dir", join(folder, "etcd"), "--unsafe-no-fsync"], log),
    );
    closeSync(log);
  }

  /** Resolves when etcd takes writes. */
  async open(network: object): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      try {
        this.netns.run(`${process.execPath} ${join(import.meta.dir, "fetch.ts")} ${url}/health`);
        break;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await Bun.sleep(100);
      }
    }
    const writer = this.netns.enter(() =>
      Bun.spawn(["setpriv", "--pdeathsig", "KILL", process.execPath, join(import.meta.dir, "etcd-writer.ts"), url], {
        stdio: ["pipe", "pipe", "inherit"],
      }),
    );
    this.#writer = writer;
    this.#answers = lines(writer.stdout);
    await this.#write([["config", JSON.stringify(network)]]);
  }

  addPeers(first: number, count: number): Promise<void> {
    return this.#write(
      Array.from({ length: count }, (_, index) => {
        const { key, value } = flannelLeaseOf(first + index);
        return [key, value];
      }),
    );
  }

  removePeer(peer: number): Promise<void> {
    return this.#write([[flannelLeaseOf(peer).key, null]]);
  }

  async #write(batch: readonly (readonly [key: string, value: string | null])[]): Promise<void> {
    this.#writer?.stdin.write(`${JSON.stringify(batch.map(([key, value]) => [`${prefix}/${key}`, value]))}\n`);
    await this.#writer?.stdin.flush();
    if ((await this.#answers?.next())?.done !== false) throw new Error("the process that writes to etcd has ended");
  }

  launch(): void {
    const log = openSync(join(this.#folder, "flanneld.log"), "a", 0o600);
    const command = [
      ...[this.#flanneld, `--etcd-endpoints=${url}`, `--etcd-prefix=${prefix}`, "--iface=eth0", "--ip-masq"],
      `--subnet-file=${join(this.#folder, "subnet.env")}`,
    ];
    this.#daemon = this.netns.enter(() => startInBackground(command, log));
    closeSync(log);
  }

  /** @throws Error when flanneld has ended by itself. */
  check(): void {
    if (this.#daemon?.exitCode != null)
      throw new Error(
        `flanneld does not run:\n${readFileSync(join(this.#folder, "flanneld.log"), "utf8").slice(-2000)}`,
      );
  }

  get pid(): number {
    return this.#daemon?.pid ?? 0;
  }

  async stop(): Promise<void> {
    this.#daemon?.kill("SIGKILL");
    await this.#daemon?.exited;
  }

  /** As before its first start: without its device (and all routes over it), its own lease and its file. */
  async reset(): Promise<void> {
    const file = join(this.#folder, "subnet.env");
    const own = /^FLANNEL_SUBNET=(\d+\.\d+\.\d+)\.1\/24$/m.exec(readFileSync(file, "utf8"))?.[1];
    if (own === undefined) throw new Error(`${file} names no subnet`);
    await this.#write([[`subnets/${own}.0-24`, null]]);
    this.netns.run("ip link del flannel.1");
    rmSync(file);
  }

  close(): void {
    this.#daemon?.kill("SIGKILL");
    this.#writer?.kill("SIGKILL");
    this.#etcd.kill("SIGKILL");
    this.netns.close();
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}
