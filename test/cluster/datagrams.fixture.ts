/**
 * `bun datagrams.fixture.ts PEER…`, in a pod's network namespace: asks each peer 50 times a second and answers whoever
 * asks. Says "ready"; then does as each line of standard input says: "ask", "stop" (prints what it saw as a line of JSON),
 * and ends with it. So all can answer before the first asks, and until the last has its answers.
 */
export const port = 9977;
const everyMs = 20;
/** An answer later than that counts as lost. On a busy machine the asker itself may wait for a processor so long. */
const patienceMs = 5000;

export interface Lost {
  readonly peer: string;
  /** Wall-clock milliseconds when it was asked. */
  readonly at: number;
}
export interface Seen {
  readonly sent: number;
  readonly lost: readonly Lost[];
  /** Of the slowest answer. */
  readonly slowestMs: number;
  /** A second answer to one question: two pods have one address. */
  readonly doubled: readonly Lost[];
}

class Asker {
  readonly #peers: readonly string[];
  readonly #waiting = new Map<string, Lost & { readonly since: number }>();
  readonly #doubled: Lost[] = [];
  #socket: Bun.udp.Socket<"buffer"> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #sent = 0;
  #slowestMs = 0;

  constructor(peers: readonly string[]) {
    this.#peers = peers;
  }

  async open(): Promise<void> {
    this.#socket = await Bun.udpSocket({
      hostname: "0.0.0.0",
      port,
      socket: {
        data: (socket, bytes, senderPort, sender) => {
          const text = bytes.toString();
          if (text.startsWith("?")) socket.send(`!${text.slice(1)}`, senderPort, sender);
          else this.#answered(text.slice(1), sender);
        },
      },
    });
  }

  #answered(id: string, sender: string): void {
    const question = this.#waiting.get(id);
    if (question === undefined) this.#doubled.push({ peer: sender, at: Date.now() });
    else this.#slowestMs = Math.max(this.#slowestMs, performance.now() - question.since);
    this.#waiting.delete(id);
  }

  ask(): void {
    this.#timer = setInterval(() => this.#askAll(), everyMs);
  }

  #askAll(): void {
    for (const peer of this.#peers) {
      const id = `${peer} ${this.#sent++}`;
      this.#waiting.set(id, { peer, at: Date.now(), since: performance.now() });
      try {
        this.#socket?.send(`?${id}`, port, peer);
      } catch {
        // No route: it stays unanswered.
      }
    }
  }

  async stop(): Promise<Seen> {
    clearInterval(this.#timer);
    const deadline = performance.now() + patienceMs;
    while (this.#waiting.size > 0 && performance.now() < deadline) await Bun.sleep(20);
    const lost = [...this.#waiting.values()].map(({ peer, at }) => ({ peer, at }));
    return { sent: this.#sent, lost, slowestMs: Math.round(this.#slowestMs), doubled: this.#doubled };
  }
}

if (import.meta.main) {
  const asker = new Asker(process.argv.slice(2));
  await asker.open();
  process.stdout.write("ready\n");
  for await (const line of console) {
    if (line === "ask") asker.ask();
    if (line === "stop") process.stdout.write(`${JSON.stringify(await asker.stop())}\n`);
  }
  process.exit(0);
}
