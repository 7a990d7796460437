import { join } from "node:path";
import type { FlowCounters } from "../apps/agent/flows/flow-log.ts";
import { parseAddress } from "../src/base/address.ts";
import { openConntrack } from "../src/kernel/conntrack-socket.ts";
import { closeFile } from "../src/kernel/file.ts";
import { openNft } from "../src/kernel/nft-socket.ts";
import { encodeSockaddr } from "../src/kernel/sockaddr.ts";
import { AF_INET, bindSocket, openSocket, SOCK_DGRAM, setTimeouts, tryReceive, trySend } from "../src/kernel/socket.ts";
import { concatenated, hostData, portData } from "../src/objects/nft-data.ts";
import { ctState, type NftExpression } from "../src/objects/nft-expression.ts";
import { labels, logGroup } from "../src/render/hooks.ts";
import { Namespace } from "./namespace.ts";
import { compare, type Row } from "./report.ts";
import type { Bench } from "./run.ts";

const connectionsOfTurn = 500;
const turns = 60;
const steady = { perSecond: 500, seconds: 8 };
const floodSeconds = 5;
const [allowedPort, deniedPort] = [8080, 8081];
const server = "10.1.1.2";

interface Told extends FlowCounters {
  /** Milliseconds, since it was asked the last time. */
  readonly processor: number;
  readonly elapsed: number;
  /** Bytes. */
  readonly resident: number;
}

/** What it costs the sender, and the agent, to be told of connections and of denied packets; and that a flood of them costs the agent no more. */
export async function benchFlows({ folder, scale, progress }: Bench): Promise<Row[]> {
  const [node, client, far] = [new Namespace(), new Namespace(), new Namespace()];
  attach(node, client, "pod-a", "10.1.0");
  attach(node, far, "pod-b", "10.1.1");
  for (let more = 1; more < clientAddresses; more++) client.run(`ip addr add 10.1.0.${2 + more}/24 dev eth0`);
  rules(node);
  const echo = far.start(`${process.execPath} ${join(import.meta.dir, "udp-echo.ts")} ${allowedPort}`);
  const listener = new Listener(node, folder);
  try {
    await Bun.sleep(500);
    const rows: Row[] = [];
    progress("new connections, with and without");
    rows.push(await compareTurns(node, client, listener, Math.ceil(turns * scale)));
    await listener.ask("on");
    progress(`${steady.perSecond} connections a second`);
    rows.push(...(await steadily(client, listener)));
    progress("as many connections as there can be");
    rows.push(...(await flooded(client, listener, "connections")));
    progress("as many denied packets as there can be");
    rows.push(...(await flooded(client, listener, "denied packets")));
    return rows;
  } finally {
    listener.close();
    echo.kill();
    for (const each of [node, client, far]) each.close();
  }
}

function attach(node: Namespace, pod: Namespace, name: string, net: string): void {
  node.run(`ip link add ${name} type veth peer name eth0 netns ${pod.path}`);
  node.run(`ip addr add ${net}.1/24 dev ${name}`);
  node.run(`ip link set ${name} up`);
  pod.run(`ip addr add ${net}.2/24 dev eth0`);
  pod.run("ip link set eth0 up");
  pod.run(`ip route add default via ${net}.1`);
}

/** What policy's program does with first packets, and the denied ones' way to the log group. */
function rules(node: Namespace): void {
  node.run("sysctl -qw net.ipv4.ip_forward=1");
  const nft = openNft({ netns: node.fd });
  const at = { family: "inet", table: "t", chain: "c" } as const;
  const port = (number: number): NftExpression[] => [
    { type: "payload", to: 8, base: "transport", offset: 2, length: 2 },
    { type: "cmp", from: 8, op: "eq", value: portData(number) },
  ];
  const words = Array.from({ length: 4 }, (_, word) =>
    hostData({ [labels.egressDecision]: 5, [labels.ingressDecision]: 6 }[word] ?? 0),
  );
  const established: NftExpression[] = [
    { type: "ct", key: "state", to: 8 },
    {
      type: "bitwise",
      from: 8,
      to: 8,
      length: 4,
      mask: hostData(ctState.established | ctState.related),
      xor: hostData(0),
    },
    { type: "cmp", from: 8, op: "neq", value: hostData(0) },
    { type: "verdict", verdict: { verdict: "accept" } },
  ];
  nft.transaction([
    { op: "table.add", table: { family: "inet", name: "t" } },
    {
      op: "chain.add",
      chain: {
        family: "inet",
        table: "t",
        name: "c",
        base: { type: "filter", hook: "forward", priority: -5, policy: "accept" },
      },
    },
    ...[
      established,
      [
        ...port(allowedPort),
        { type: "immediate", to: 8, value: concatenated(...words) },
        { type: "ct.set", key: "label", from: 8 },
      ] satisfies NftExpression[],
      [
        ...port(deniedPort),
        { type: "immediate", to: 8, value: hostData(7) },
        { type: "meta.set", key: "mark", from: 8 },
        { type: "limit", rate: 200, unit: 1, burst: 400, of: "packets" },
        { type: "log", group: logGroup.number, snaplen: logGroup.bytes },
        { type: "verdict", verdict: { verdict: "drop" } },
      ] satisfies NftExpression[],
      [...port(deniedPort), { type: "verdict", verdict: { verdict: "drop" } }] satisfies NftExpression[],
    ].map((expressions) => ({ op: "rule.add" as const, rule: { ...at, expressions } })),
  ]);
  nft.close();
}

/** The process that listens (flow-log-process.ts). */
class Listener {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;

  constructor(node: Namespace, folder: string) {
    this.#child = Bun.spawn(
      [
        "setpriv",
        "--pdeathsig",
        "KILL",
        process.execPath,
        join(import.meta.dir, "flow-log-process.ts"),
        node.path,
        folder,
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    this.#lines = linesOf(this.#child.stdout)[Symbol.asyncIterator]();
  }

  async ask(command: "on" | "off" | "tell"): Promise<Told> {
    this.#child.stdin.write(`${command}\n`);
    await this.#child.stdin.flush();
    const { value } = await this.#lines.next();
    return JSON.parse(value ?? "{}");
  }

  close(): void {
    this.#child.kill();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** In turns. Microseconds a connection. */
async function compareTurns(node: Namespace, client: Namespace, listener: Listener, count: number): Promise<Row> {
  const conntrack = openConntrack({ netns: node.fd });
  const times: Record<"on" | "off", number[]> = { on: [], off: [] };
  for (let turn = 0; turn < count; turn++) {
    for (const side of ["on", "off"] as const) {
      await listener.ask(side);
      const began = performance.now();
      for (let connection = 0; connection < connectionsOfTurn; connection++) connect(client);
      times[side].push(((performance.now() - began) * 1000) / connectionsOfTurn);
      conntrack.deleteWhere(() => true);
    }
  }
  conntrack.close();
  return compare({
    what: "a new connection: socket, datagram, its answer",
    against: "nobody listens",
    unit: "µs",
    ours: times.on,
    theirs: times.off,
    goal: { most: 1.1 },
  });
}

/** A first packet and its answer, from a port that none had before: the kernel remembers a connection for half a minute. */
function connect(client: Namespace): void {
  const fd = client.enter(() => openSocket(AF_INET, SOCK_DGRAM, 0));
  const number = connections++;
  const from = `10.1.0.${2 + (Math.floor(number / portsOfAddress) % clientAddresses)}`;
  bindSocket(fd, encodeSockaddr(parseAddress(from), firstPort + (number % portsOfAddress)));
  setTimeouts(fd, 1000);
  trySend(fd, payload, 0, encodeSockaddr(parseAddress(server), allowedPort));
  tryReceive(fd, buffer);
  closeFile(fd);
}
let connections = 0;
const [firstPort, portsOfAddress, clientAddresses] = [2000, 60_000, 20];
const payload = new Uint8Array(16);
const buffer = new Uint8Array(64);

async function steadily(client: Namespace, listener: Listener): Promise<Row[]> {
  await Bun.sleep(5000);
  const before = await listener.ask("tell");
  const total = steady.perSecond * steady.seconds;
  const began = performance.now();
  for (let connection = 0; connection < total; ) {
    const due = Math.min(total, ((performance.now() - began) / 1000) * steady.perSecond);
    for (; connection < due; connection++) connect(client);
    await Bun.sleep(5);
  }
  // The last of them are still being read.
  await Bun.sleep(500);
  const { processor, lost, seen } = await listener.ask("tell");
  const told = seen.allow.egress - before.seen.allow.egress;
  const missing = lost.connections - before.lost.connections;
  return [
    {
      what: `${steady.perSecond} connections a second: the agent's processor time, a connection`,
      value: `${((processor / told) * 1000).toFixed(0)} µs`,
    },
    { what: "of these, told / lost", value: `${told} / ${missing}`, reached: missing === 0 && told === total },
  ];
}

/** One sender without a pause. */
async function flooded(client: Namespace, listener: Listener, what: "connections" | "denied packets"): Promise<Row[]> {
  const before = await listener.ask("tell");
  const fd = client.enter(() => openSocket(AF_INET, SOCK_DGRAM, 0, { nonBlocking: true }));
  const began = performance.now();
  let sent = 0;
  while (performance.now() - began < floodSeconds * 1000) {
    for (let round = 0; round < 500; round++, sent++) {
      if (what === "connections") connect(client);
      else trySend(fd, payload, 0, encodeSockaddr(parseAddress(server), deniedPort));
    }
    await Bun.sleep(0);
  }
  closeFile(fd);
  const seconds = (performance.now() - began) / 1000;
  const { processor, elapsed, lost, resident, kept } = await listener.ask("tell");
  const share = (processor / elapsed) * 100;
  const missing =
    what === "connections" ? lost.connections - before.lost.connections : lost.denied - before.lost.denied;
  const rate = Math.round(sent / seconds);
  return [
    {
      what: `${rate} ${what} a second: the agent's share of a processor`,
      value: `${share.toFixed(1)} %`,
      reached: share < 15,
    },
    {
      what: "of these, events lost; the agent's memory more than before; its files",
      value: `${missing}; ${((resident - before.resident) / 2 ** 20).toFixed(0)} MiB; ${(kept.bytes / 1024).toFixed(0)} KiB`,
    },
  ];
}
