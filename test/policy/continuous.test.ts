import { expect, setDefaultTimeout, test } from "bun:test";
import { objectName } from "../../apps/kinds.ts";
import { type Address, familyOf } from "../../src/base/address.ts";
import { pick, type Random, seededRandom } from "../../src/base/random.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  bindSocket,
  MSG_DONTWAIT,
  openSocket,
  SOCK_DGRAM,
  tryConnect,
  tryReceive,
  trySend,
} from "../../src/kernel/socket.ts";
import { openDatastore } from "../../src/store/open.ts";
import { until } from "../faults/fault-lab.fixture.ts";
import { PolicyLab } from "./policy-lab.fixture.ts";

setDefaultTimeout(300_000);

/** More of them: TWILL_UPDATES. */
const updates = Number(process.env.TWILL_UPDATES ?? 1000);
const ports = { never: 9000, always: 9001 };

/**
 * Datagrams to a port that no state of the cluster allows, each from a port of its own, so that each is judged as a first packet;
 * and to one that all states allow. Senders and receivers are this process's sockets in the pods' namespaces.
 */
class Probe {
  readonly #receivers: readonly number[];
  readonly #from: number;
  readonly #destination: Address;
  readonly #source: Address;
  readonly #buffer = new Uint8Array(64);
  readonly #seen = new Set<number>();
  #sent = 0;
  #forbidden = 0;

  constructor(from: number, source: Address, to: number, destination: Address) {
    this.#from = from;
    this.#source = source;
    this.#destination = destination;
    this.#receivers = Object.values(ports).map((port) =>
      inNetns(to, () => {
        const socket = openSocket(familyOf(destination) === 4 ? AF_INET : 10, SOCK_DGRAM, 0, { nonBlocking: true });
        bindSocket(socket, encodeSockaddr(destination, port));
        return socket;
      }),
    );
  }

  round(): void {
    for (const port of Object.values(ports)) {
      const socket = inNetns(this.#from, () => openSocket(AF_INET, SOCK_DGRAM, 0, { nonBlocking: true }));
      bindSocket(socket, encodeSockaddr(this.#source, 0));
      tryConnect(socket, encodeSockaddr(this.#destination, port));
      const datagram = new Uint8Array(4);
      new DataView(datagram.buffer).setUint32(0, this.#sent);
      trySend(socket, datagram);
      closeFile(socket);
    }
    this.#sent++;
    this.receive();
  }

  receive(): void {
    const [never = -1, always = -1] = this.#receivers;
    while (tryReceive(never, this.#buffer, MSG_DONTWAIT) > 0) this.#forbidden++;
    while (tryReceive(always, this.#buffer, MSG_DONTWAIT) > 0)
      this.#seen.add(new DataView(this.#buffer.buffer).getUint32(0));
  }

  finish(): { readonly sent: number; readonly forbidden: number; readonly lost: number } {
    for (const socket of this.#receivers) closeFile(socket);
    return { sent: this.#sent, forbidden: this.#forbidden, lost: this.#sent - this.#seen.size };
  }
}

const namespaces = ["default", "shop", "bank"];
const labels = ["web", "client", "batch"];

/**
 * A state of the cluster in which clients may send to port 9001 of the web server, and nobody to 9000. Everything else is at random: by
 * how many policies that is said, in what words, and who else may what.
 */
function randomSpecs(random: Random): Map<string, object> {
  const client = { podSelector: { matchLabels: { role: "client" } } };
  const server = { podSelector: { matchLabels: { role: "web" } } };
  const allowed = { from: [client], ports: [{ protocol: "UDP", port: ports.always }] };
  const wide = { ports: [{ protocol: "UDP", port: 9001, endPort: 9001 + random.below(500) }] };
  const specs = new Map<string, object>();
  const rule = () => {
    const [second, third] = [random.below(256), random.below(256)];
    const block = { cidr: `10.${second}.0.0/16`, except: [`10.${second}.${third}.0/24`] };
    const team = { namespaceSelector: { matchLabels: { team: pick(random, labels) } } };
    return {
      from: [random.below(2) === 0 ? team : { ipBlock: block }],
      ports: [{ protocol: pick(random, ["TCP", "UDP"] as const), port: 9001 + random.below(100) }],
    };
  };
  const some = () => Array.from({ length: random.below(4) }, rule);
  specs.set("main", {
    ...server,
    policyTypes: ["Ingress"],
    ingress: [...some(), pick(random, [allowed, wide]), ...some()],
  });
  for (const name of ["a", "b", "c"]) {
    if (random.below(2) === 0) continue;
    specs.set(name, {
      podSelector: { matchLabels: { role: pick(random, labels) } },
      policyTypes: ["Ingress"],
      ingress: some(),
    });
  }
  // What the client may send is judged, too.
  if (random.below(2) === 0)
    specs.set("egress", {
      ...client,
      policyTypes: ["Egress"],
      egress: [{ ports: [{ protocol: "UDP", port: 9000, endPort: 9100 }] }],
    });
  return specs;
}

test(`${updates} updates of policies and labels: not one packet that neither state allows, and hardly one lost that both allow`, async () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  const random = seededRandom(seed);
  await using cluster = await PolicyLab.up({ nodes: 2, subnets: 1, pods: 2 });
  const { lab } = cluster;
  const pairs = [
    ["node2/pod-b", "node1/pod-a"],
    ["node1/pod-b", "node2/pod-a"],
  ] as const;
  let before = randomSpecs(random);
  for (const [name, spec] of before) await cluster.policy("default", name, spec);
  await cluster.becomes("node2/pod-a", "node1/pod-a", "silence");
  const places = new Map<string, number>();
  for (const name of new Set(pairs.flat())) places.set(name, await lab.netns(name));
  const fd = (name: string) => places.get(name) ?? -1;
  const probes = pairs.map(
    ([from, to]) => new Probe(fd(from), cluster.address(from) as Address, fd(to), cluster.address(to) as Address),
  );
  const timer = setInterval(() => {
    for (const probe of probes) probe.round();
  }, 2);
  const store = await openDatastore(lab.datastore);
  try {
    const put = async (kind: string, name: string, object: object) => {
      const value = new TextEncoder().encode(JSON.stringify(object));
      const found = await store.get(kind, name);
      if (found === undefined) await store.create(kind, name, value);
      else await store.update(kind, name, value, found.revision);
    };
    const writesBefore = await lab.kernelWrites("node1");
    for (let count = 0; count < updates; ) {
      const after = randomSpecs(random);
      // Additions first: at no moment is the server without a policy, nor the allowed port without a rule.
      const names = [...after.keys(), ...[...before.keys()].filter((name) => !after.has(name))];
      for (const name of names) {
        const [spec, stored] = [after.get(name), objectName("default", name)];
        const metadata = { namespace: "default", name };
        if (spec === undefined) await store.delete("networkpolicies", stored);
        else
          await put("networkpolicies", stored, {
            apiVersion: "networking.k8s.io/v1",
            kind: "NetworkPolicy",
            metadata,
            spec,
          });
        count++;
      }
      const name = pick(random, namespaces);
      await put("namespaces", name, {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { team: pick(random, labels) } },
      });
      count++;
      before = after;
      await Bun.sleep(random.below(4));
    }
    await until(async () => (await lab.kernelWrites("node1")) > writesBefore + updates / 20, "the kernel has followed");
    await Bun.sleep(500);
  } finally {
    clearInterval(timer);
    await store.close();
  }
  await Bun.sleep(300);
  for (const probe of probes) probe.receive();
  const outcomes = probes.map((probe) => probe.finish());
  for (const descriptor of places.values()) closeFile(descriptor);
  for (const { sent, forbidden, lost } of outcomes) {
    expect(sent).toBeGreaterThan(100);
    expect({ seed, forbidden }).toEqual({ seed, forbidden: 0 });
    // One that meets a second change while it is judged again may be denied by the mixture: seen once in some 10,000 at 200 changes a second.
    expect({ seed, lost: Math.max(0, lost - 2) }).toEqual({ seed, lost: 0 });
  }
  expect((await lab.status("node1")).problems).toEqual([]);
});
