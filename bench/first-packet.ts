import { NftTableKeeper } from "../src/apply/nft-table.ts";
import { openAttachKernel } from "../src/attach/attach-kernel.ts";
import { RoutedAttachment } from "../src/attach/routed/routed-attachment.ts";
import { parseAddress } from "../src/base/address.ts";
import { silentLog } from "../src/base/log.ts";
import { everything, parseInterfaceAddress } from "../src/base/prefix.ts";
import { compilePolicy } from "../src/compile/policy/compiler.ts";
import { closeFile } from "../src/kernel/file.ts";
import { openNft } from "../src/kernel/nft-socket.ts";
import { encodeSockaddr } from "../src/kernel/sockaddr.ts";
import {
  AF_INET,
  bindSocket,
  listenSocket,
  openSocket,
  SOCK_STREAM,
  SOL_SOCKET,
  setOption,
  tryAccept,
  tryConnect,
} from "../src/kernel/socket.ts";
import { kernelSysctls } from "../src/kernel/sysctl.ts";
import {
  kubernetesTiers,
  type Policy,
  type PolicyModel,
  policyName,
  protocols,
  type WorkloadEndpoint,
} from "../src/model/policy.ts";
import { PolicyRendering } from "../src/render/policy/policy-rendering.ts";
import { onFirstProcessor } from "./affinity.ts";
import { Namespace } from "./namespace.ts";
import { type Comparison, compare } from "./report.ts";
import type { Bench } from "./run.ts";

const counts = [0, 10, 1_000, 10_000];
const [client, server] = ["10.244.1.2", "10.244.1.3"].map(parseAddress) as [
  ReturnType<typeof parseAddress>,
  ReturnType<typeof parseAddress>,
];
const port = 7000;
/** Connections before another side takes its turn, and turns. */
const size = { turn: 25, turns: 400 };
const goal = { most: 1.1 };
/** asm-generic/socket.h; with a time of 0 the socket is gone at once, and its port free. */
const SO_LINGER = 13;

/** How a node's kernel is told what to let through. */
type Side = { readonly name: string; load(node: Namespace): void };

/** As on any node that masquerades: connections are tracked, and what is open goes on. */
const tracked = `add table inet plain
add chain inet plain forward { type filter hook forward priority -5; }
add rule inet plain forward ct state established,related accept`;

const none: Side = { name: "no policy", load: (node) => nft(node, tracked) };

const plain = (rules: number): Side => ({
  name: `${rules} rules in a chain`,
  load: (node) => {
    const others = Array.from({ length: rules - 1 }, (_, index) => `10.9.${index >> 8}.${index & 255}`);
    const lines = [...others, client].map(
      (source) => `add rule inet plain forward ip saddr ${source} ip daddr ${server} tcp dport ${port} accept`,
    );
    nft(node, [tracked, ...lines, "add rule inet plain forward drop"].join("\n"));
  },
});

function nft(node: Namespace, script: string): void {
  const result = node.enter(() => Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(script), stderr: "pipe" }));
  if (result.exitCode !== 0) throw new Error(`nft: ${result.stderr}`);
}

/**
 * Half of the rules are about what the client sends, half about what the server takes; each names a pod of its own, and the last of
 * either half the one that counts.
 */
const policies = (rules: number): Side => ({
  name: `${rules} rules`,
  load: (node) => {
    const state = compilePolicy(modelOf(rules), { node: "node1" });
    const rendering = new PolicyRendering({
      established: "keep",
      deny: "drop",
      log: { perSecond: 100, burst: 100 },
      podInterfaces: "twl",
      reversePathFiltered: true,
    });
    const socket = openNft({ netns: node.fd });
    new NftTableKeeper({ nft: socket, log: silentLog, family: "inet", name: "twill" }).apply(rendering.table(state));
    socket.close();
  },
});

function modelOf(rules: number): PolicyModel {
  const half = rules / 2;
  const endpoint = (pod: string, node: string, address: string): [string, WorkloadEndpoint] => [
    `bench/${pod}`,
    { namespace: "bench", pod, node, labels: { app: pod }, addresses: [parseAddress(address)], ports: [] },
  ];
  const others = Array.from({ length: Math.max(0, half - 1) }, (_, index) => `pod${index}`);
  const rule = (peer: string) => ({
    action: "allow" as const,
    traffic: [{ protocol: protocols.tcp, ports: { first: port, last: port } }],
    peer: { endpoints: { namespace: "bench", labels: { op: "in", key: "app", values: [peer] } } } as const,
  });
  const policy = (direction: "ingress" | "egress", subject: string, peer: string): [string, Policy] => {
    const { peer: match, ...rest } = rule(peer);
    const id = { kind: "NetworkPolicy", namespace: "bench", name: `${direction}-${peer}` } as const;
    const one = direction === "ingress" ? { ...rest, source: match } : { ...rest, destination: match };
    return [
      policyName(id),
      {
        id,
        tier: "default",
        order: 1000,
        subject: { namespace: "bench", labels: { op: "in", key: "app", values: [subject] } },
        [direction]: [one],
        allowsOwnNode: true,
      },
    ];
  };
  return {
    namespaces: new Map([["bench", { name: "bench", labels: {} }]]),
    endpoints: new Map([
      endpoint("client", "node1", client),
      endpoint("server", "node1", server),
      ...others.map((name, index) => endpoint(name, "node2", `10.244.${128 + (index >> 8)}.${index & 255}`)),
    ]),
    nodes: new Map([["node1", { name: "node1", labels: {}, addresses: [parseAddress("192.0.2.1")] }]]),
    tiers: new Map(kubernetesTiers.map((tier) => [tier.name, tier])),
    policies: new Map(
      half === 0
        ? []
        : [
            ...[...others, "server"].map((peer) => policy("egress", "client", peer)),
            ...[...others, "client"].map((peer) => policy("ingress", "server", peer)),
          ],
    ),
  };
}

/**
 * From connect(2) until it returns: between two pods of one node that is the first packet, its answer and the third, all in the
 * caller's time. Every connection is new to conntrack.
 */
class Contestant {
  readonly side: Side;
  /** Microseconds. */
  readonly times: number[] = [];
  readonly turns: number[] = [];
  readonly rates: number[] = [];
  readonly #node = new Namespace();
  readonly #pods = { client: new Namespace(), server: new Namespace() };
  readonly #listener: number;
  readonly #address = encodeSockaddr(server, port);
  readonly #linger = new Uint8Array(new Int32Array([1, 0]).buffer);

  constructor(side: Side) {
    this.side = side;
    this.#node.run("ip link set lo up");
    const sysctls = kernelSysctls(this.#node.fd);
    sysctls.write(["ipv4", "ip_forward"], "1");
    sysctls.write(["ipv6", "conf", "all", "forwarding"], "1");
    const kernel = openAttachKernel(this.#node.fd);
    const attachment = new RoutedAttachment(kernel);
    for (const [name, address] of [
      ["client", client],
      ["server", server],
    ] as const) {
      attachment.attach({
        key: { network: "bench", containerId: name, ifname: "eth0" },
        netns: this.#pods[name].fd,
        addresses: [parseInterfaceAddress(`${address}/32`)],
        gateways: [],
        routes: [{ destination: everything(4) }],
        mtu: 1500,
      });
    }
    kernel.close();
    side.load(this.#node);
    this.#listener = this.#pods.server.enter(() => openSocket(AF_INET, SOCK_STREAM, 0, { nonBlocking: true }));
    bindSocket(this.#listener, this.#address);
    listenSocket(this.#listener, 128);
  }

  turn(counts: boolean): void {
    const began = Bun.nanoseconds();
    const times = onFirstProcessor(() =>
      this.#pods.client.enter(() => Array.from({ length: size.turn }, () => this.#connect())),
    );
    const seconds = (Bun.nanoseconds() - began) / 1e9;
    if (!counts) return;
    this.times.push(...times);
    // What disturbs a connection makes it longer, never shorter.
    this.turns.push(times.sort((a, b) => a - b)[Math.floor(times.length * 0.15)] ?? Number.NaN);
    this.rates.push(size.turn / seconds);
  }

  #connect(): number {
    const fd = openSocket(AF_INET, SOCK_STREAM, 0);
    setOption(fd, SOL_SOCKET, SO_LINGER, this.#linger);
    const began = Bun.nanoseconds();
    const result = tryConnect(fd, this.#address);
    const time = (Bun.nanoseconds() - began) / 1000;
    if (result < 0) throw new Error(`${this.side.name}: connect: errno ${-result}`);
    closeFile(tryAccept(this.#listener));
    closeFile(fd);
    return time;
  }

  close(): void {
    closeFile(this.#listener);
    for (const each of [this.#node, ...Object.values(this.#pods)]) each.close();
  }
}

/** First packets under policy, under as many rules in a chain, and under none, in turns. */
export async function benchFirstPacket({ scale, progress }: Bench): Promise<Comparison[]> {
  progress("making pods and rules");
  const contestants: Contestant[] = [];
  try {
    const add = (side: Side): Contestant => {
      const contestant = new Contestant(side);
      contestants.push(contestant);
      return contestant;
    };
    const without = add(none);
    const ours = counts.map((count) => add(policies(count)));
    const theirs = counts.filter((count) => count > 0).map((count) => add(plain(count)));
    const turns = Math.ceil(size.turns * scale);
    for (let turn = -10; turn < turns; turn++) {
      if (turn % 10 === 0) progress(`${Math.max(0, turn)} of ${turns} turns`);
      for (const contestant of contestants) contestant.turn(turn >= 0);
    }
    return [
      ...ours.map((side) => latency(side, without, goal)),
      ...ours.slice(1).flatMap((side) => (ours[0] === undefined ? [] : [latency(side, ours[0], goal)])),
      ...theirs.map((side) => latency(side, without)),
      ...[...ours, ...theirs].map((side) =>
        compare({
          what: `${side.side.name}: new connections`,
          against: without.side.name,
          unit: "/s",
          ours: side.rates,
          theirs: without.rates,
        }),
      ),
    ];
  } finally {
    for (const contestant of contestants) contestant.close();
  }
}

const latency = (side: Contestant, against: Contestant, to?: typeof goal): Comparison =>
  compare({
    what: `${side.side.name}: connect`,
    against: against.side.name,
    unit: "µs",
    ours: side.times,
    theirs: against.times,
    pairs: { ours: side.turns, theirs: against.turns },
    ...(to === undefined ? {} : { goal: to }),
  });
