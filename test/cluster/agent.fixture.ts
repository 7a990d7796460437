import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AgentStatus } from "../../src/model/status.ts";
import { TestNetns, vethPair } from "../support/netns.ts";

export interface AgentSettings {
  readonly node: string;
  readonly kubeconfig: string;
  /** The API server's, on this machine's loopback address. */
  readonly port: number;
  /** Of its underlay. */
  readonly address: string;
  /** Of the one before: an agent that is started again. */
  readonly directory?: string;
  readonly flags?: readonly string[];
}

/**
 * The real agent, in a network namespace with an underlay that leads nowhere. It reaches the API server at 127.0.0.1, where
 * a listener of ours hands its connections out of the namespace.
 */
export class AgentProcess {
  readonly netns = new TestNetns();
  readonly #beyond = new TestNetns();
  readonly directory: string;
  readonly #listener: { stop(force?: boolean): void };
  readonly #child: Bun.Subprocess;
  #cut = false;
  readonly #pipes = new Set<Pipe>();
  readonly #backs = new WeakMap<object, Pipe>();

  constructor({ node, kubeconfig, port, address, directory, flags = [] }: AgentSettings) {
    this.directory = directory ?? mkdtempSync("/tmp/twill-agent-test-");
    this.#underlay(address);
    this.#listener = this.netns.enter(() => this.#forward(port));
    const command = [
      // It ends with us, however we end.
      ...["setpriv", "--pdeathsig", "KILL"],
      process.execPath,
      join(import.meta.dir, "agent-program.fixture.ts"),
      `--node-name=${node}`,
      `--datastore=kubernetes:${kubeconfig}?config=twill-system/twill-config`,
      `--state-dir=${this.directory}/state`,
      `--run-dir=${this.directory}/run`,
      `--cni-conf-dir=${this.directory}/cni`,
      `--subnet-file=${this.directory}/subnet.env`,
      "--healthz-port=0",
      "--peer-port=0",
      ...flags,
    ];
    const log = Bun.file(join(this.directory, "log"));
    this.#child = this.netns.enter(() => Bun.spawn(command, { stdin: "ignore", stdout: log, stderr: log }));
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get log(): string {
    return readFileSync(join(this.directory, "log"), "utf8");
  }

  /** By a process of its own, for the agent may need us to reach the API server. */
  async status(): Promise<AgentStatus> {
    const command = [process.execPath, join(import.meta.dir, "../../apps/main.ts"), "status", "-o", "json"];
    const child = Bun.spawn([...command, `--run-dir=${this.directory}/run`], { stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout) as AgentStatus;
  }

  /** The API server goes without a word: connections stay, and nothing comes through. */
  cutOff(): void {
    this.#cut = true;
  }
  heal(): void {
    this.#cut = false;
    for (const pipe of this.#pipes) pipe.end();
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await Promise.race([this.#child.exited, Bun.sleep(10_000)]);
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    this.#listener.stop(true);
    this.netns.close();
    this.#beyond.close();
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #underlay(address: string): void {
    vethPair({ netns: this.netns, name: "eth0" }, { netns: this.#beyond, name: "far" });
    this.netns.run("ip", "address", "add", `${address}/24`, "dev", "eth0");
    this.netns.run("ip", "route", "add", "default", "via", address.replace(/\d+$/, "1"));
  }

  #forward(port: number): { stop(force?: boolean): void } {
    return Bun.listen<Pipe>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (near) => {
          const far = new Pipe();
          const back = new Pipe(near);
          near.data = far;
          this.#pipes.add(back);
          void Bun.connect({
            hostname: "127.0.0.1",
            port,
            socket: {
              open: (socket) => far.attach(socket),
              data: (_, bytes) => {
                if (!this.#cut) back.write(bytes);
              },
              drain: () => far.flush(),
              close: () => {
                if (!this.#cut) back.end();
              },
            },
          }).catch(() => back.end());
          this.#backs.set(near, back);
        },
        data: (near, bytes) => {
          if (!this.#cut) near.data.write(bytes);
        },
        drain: (near) => this.#backs.get(near)?.flush(),
        close: (near) => {
          near.data.end();
          const back = this.#backs.get(near);
          if (back !== undefined) this.#pipes.delete(back);
        },
      },
    });
  }
}

/** One direction: what the socket does not take at once waits for it. */
class Pipe {
  #socket: Bun.Socket<unknown> | undefined;
  #waiting: Uint8Array[] = [];
  #ended = false;

  constructor(socket?: Bun.Socket<unknown>) {
    this.#socket = socket;
  }

  attach(socket: Bun.Socket<unknown>): void {
    this.#socket = socket;
    this.flush();
  }

  write(bytes: Uint8Array): void {
    this.#waiting.push(bytes.slice());
    this.flush();
  }

  flush(): void {
    for (let next = this.#waiting[0]; this.#socket !== undefined && next !== undefined; next = this.#waiting[0]) {
      const written = Math.max(0, this.#socket.write(next));
      if (written < next.length) {
        this.#waiting[0] = next.subarray(written);
        return;
      }
      this.#waiting.shift();
    }
    if (this.#ended) this.#socket?.end();
  }

  end(): void {
    this.#ended = true;
    this.flush();
  }
}
