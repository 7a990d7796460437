import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Address, familyOf } from "../../src/base/address.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import { AF_INET, bindSocket, openSocket, SOCK_DGRAM, trySend } from "../../src/kernel/socket.ts";
import { protocols } from "../../src/model/policy.ts";
import type { Connection } from "../../src/objects/conntrack.ts";
import { labels } from "../../src/render/hooks.ts";
import { BareCluster, type BareNode } from "../conformance/rig/bare-cluster.ts";
import { underlayOf } from "../conformance/rig/plan.ts";
import { eventually, Wire } from "../packets/wire.fixture.ts";
import type { TestNetns } from "../support/netns.ts";
import { a, endpoint, ServiceNode, service, slice } from "./service-node.fixture.ts";

setDefaultTimeout(60_000);

/** Node 1 has Services; its pods are here1 to here3, there1 to there3 are node 2's. */
const [here1, here2, here3] = [2, 3, 4].map((host) => a(`10.244.1.${host}`)) as [Address, Address, Address];
const [there1, there2] = [2, 3].map((host) => a(`10.244.2.${host}`)) as [Address, Address];
const vip = a("10.96.0.10");
const outside = a("198.51.100.9");
const ECONNREFUSED = 111;

let cluster: BareCluster;
let node: BareNode;
let services: ServiceNode;
let wire: Wire;
beforeAll(() => {
  cluster = new BareCluster(3);
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error("no node");
  node = first;
  cluster.outside.run("ip", "route", "add", "10.96.0.0/16", "via", underlayOf(1, 4));
  cluster.outside.run("ip", "route", "add", "192.0.2.0/24", "via", underlayOf(1, 4));
  wire = new Wire();
  services = new ServiceNode(node);
});
afterEach(() => {
  services.off();
  cluster.forgetConnections();
  wire.close();
  wire = new Wire();
  services = new ServiceNode(node);
});
afterAll(() => {
  services.off();
  wire.close();
  cluster.close();
});

const owner = (address: Address): TestNetns => cluster.owner(address);

/** Connects, and says where it came out, as whom: or the error. */
function connects(from: Address, to: Address, port: number, listeners: readonly (readonly [Address, number])[]) {
  const opened = listeners.map(([address, each]) => ({ address, fd: wire.listen(owner(address), address, each) }));
  try {
    const client = wire.connect(owner(from), from, to, port);
    let outcome: { readonly endpoint: Address; readonly client: Address } | number | undefined;
    eventually(`${from} to ${to}:${port} came to an end`, () => {
      const error = wire.error(client);
      if (error !== 0) outcome = error;
      for (const { address, fd } of opened) {
        if (wire.accept(fd) === undefined) continue;
        const found = allConnections().find(
          ({ original, reply }) => original.source === from && original.destination === to && reply.source === address,
        );
        outcome = { endpoint: address, client: found?.reply.destination ?? from };
      }
      return outcome !== undefined;
    });
    return outcome;
  } finally {
    wire.close();
    wire = new Wire();
  }
}

const allConnections = (): Connection[] => node.conntrack.connections();

/** So many first datagrams, each from a port of its own; how often each endpoint was chosen. */
function drawn(from: Address, to: Address, count: number): Map<Address, number> {
  inNetns(owner(from).fd, () => {
    for (let sent = 0; sent < count; sent++) {
      const fd = openSocket(AF_INET, SOCK_DGRAM, 0);
      bindSocket(fd, encodeSockaddr(from, 20_000 + sent));
      trySend(fd, Uint8Array.of(1), 0, encodeSockaddr(to, 80));
      closeFile(fd);
    }
  });
  const chosen = new Map<Address, number>();
  eventually("all datagrams are seen", () => seen(from, to).length >= count);
  for (const { reply } of seen(from, to)) chosen.set(reply.source, (chosen.get(reply.source) ?? 0) + 1);
  return chosen;
}
const seen = (from: Address, to: Address): Connection[] =>
  allConnections().filter(({ original }) => original.source === from && original.destination === to);

const udp = (address: Address, rest = {}) =>
  service("dns", address, { ports: [{ name: "dns", protocol: protocols.udp, port: 80 }], ...rest });
const isRefused = ECONNREFUSED;

test("a pod and the node reach an endpoint on either node, and the client's address survives where it can", () => {
  const web = service("web", vip);
  services.put(web, slice(web, [endpoint(there1, "n2")]));
  expect(connects(here1, vip, 80, [[there1, 8080]])).toEqual({ endpoint: there1, client: here1 });
  expect(connects(underlayOf(1, 4), vip, 80, [[there1, 8080]])).toMatchObject({ endpoint: there1 });
  services.put(web, slice(web, [endpoint(here2, "n1")]));
  expect(connects(here1, vip, 80, [[here2, 8080]])).toEqual({ endpoint: here2, client: here1 });
  expect(connects(outside, vip, 80, [[here2, 8080]])).toEqual({ endpoint: here2, client: outside });
});

test("who comes from outside and is sent to another node comes with this node's address", () => {
  const web = service("web", vip);
  services.put(web, slice(web, [endpoint(there1, "n2")]));
  expect(connects(outside, vip, 80, [[there1, 8080]])).toEqual({ endpoint: there1, client: underlayOf(1, 4) });
});

test("a pod reaches itself through its Service", () => {
  const web = service("web", vip);
  services.put(web, slice(web, [endpoint(here1, "n1")]));
  const outcome = connects(here1, vip, 80, [[here1, 8080]]);
  expect(outcome).toMatchObject({ endpoint: here1 });
  expect(outcome).not.toMatchObject({ client: here1 });
});

test("without endpoints, and at ports that it has not, a Service refuses at once: pods, the node, the outside; TCP and UDP", () => {
  const web = service("web", vip);
  services.put(web, slice(web, [endpoint(here1, "n1", { ready: false, serving: false })]));
  for (const from of [here1, underlayOf(1, 4), outside]) {
    for (const port of [80, 81]) {
      expect([from, port, connects(from, vip, port, [])]).toEqual([from, port, isRefused]);
      const fd = wire.socket(owner(from), familyOf(from) === 4 ? 2 : 10, 2);
      wire.send(fd, Uint8Array.of(1), vip, port);
    }
  }
  const fd = wire.connectUdp(owner(here2), here2, vip, 80);
  wire.send(fd, Uint8Array.of(1));
  eventually("UDP is refused", () => wire.receive(fd) === -ECONNREFUSED);
});

test("node ports answer on the node's address, for the outside and for pods, and with Local keep the client's", () => {
  const ports = [{ name: "http", protocol: protocols.tcp, port: 80, nodePort: 30_080 }];
  const web = service("web", vip, { ports });
  services.put(web, slice(web, [endpoint(there1, "n2")]));
  const at = underlayOf(1, 4);
  expect(connects(outside, at, 30_080, [[there1, 8080]])).toEqual({ endpoint: there1, client: at });
  expect(connects(here1, at, 30_080, [[there1, 8080]])).toEqual({ endpoint: there1, client: here1 });
  const local = service("web", vip, { ports, externalPolicy: "local" });
  services.put(local, slice(local, [endpoint(there1, "n2"), endpoint(here2, "n1")]));
  for (let count = 0; count < 6; count++) {
    expect(connects(outside, at, 30_080, [[here2, 8080]])).toEqual({ endpoint: here2, client: outside });
  }
});

test("node ports move to other addresses of the node", () => {
  const ports = [{ name: "http", protocol: protocols.tcp, port: 80, nodePort: 30_080 }];
  const web = service("web", vip, { ports });
  services.put(web, slice(web, [endpoint(here1, "n1")]));
  const [underlay, abroad] = [underlayOf(1, 4), a("203.0.113.1")];
  expect(connects(outside, abroad, 30_080, [])).toBe(isRefused);
  services.keeper.patch(services.rendering.moveNodePorts(new Set([abroad])));
  expect(connects(outside, abroad, 30_080, [[here1, 8080]])).toMatchObject({ endpoint: here1 });
  expect(connects(outside, underlay, 30_080, [])).toBe(isRefused);
});

test("Local without an endpoint here: the outside is dropped, pods are served", () => {
  const balanced = a("192.0.2.7");
  const web = service("web", vip, { loadBalancerAddresses: [balanced], externalPolicy: "local" });
  services.put(web, slice(web, [endpoint(there1, "n2")]));
  expect(connects(here1, balanced, 80, [[there1, 8080]])).toEqual({ endpoint: there1, client: here1 });
  const client = wire.connect(owner(outside), outside, balanced, 80);
  eventually("the packet was dropped", () => dropped() > 0);
  expect(wire.error(client)).toBe(0);
});

const dropped = (): number =>
  node.nft
    .rules({ family: "inet", table: "twill", chain: "service_drop" })
    .flatMap(({ expressions }) => expressions)
    .reduce((sum, each) => sum + (each.type === "counter" ? Number(each.packets ?? 0n) : 0), 0);

test("a load balancer's address takes clients of its ranges only", () => {
  const balanced = a("192.0.2.7");
  const web = service("web", vip, {
    loadBalancerAddresses: [balanced],
    sourceRanges: [parsePrefix("198.51.100.0/28"), parsePrefix("198.51.100.8/30")],
  });
  services.put(web, slice(web, [endpoint(here1, "n1")]));
  expect(connects(outside, balanced, 80, [[here1, 8080]])).toEqual({ endpoint: here1, client: outside });
  const stranger = a("198.51.100.99");
  wire.connect(owner(stranger), stranger, balanced, 80);
  eventually("the packet was dropped", () => dropped() > 0);
  expect(connects(here2, vip, 80, [[here1, 8080]])).toMatchObject({ endpoint: here1 });
});

/** Greatest chi-square that one run in 10,000 exceeds, for so many degrees of freedom (Wilson and Hilferty's approximation). */
const limitOf = (freedom: number): number => {
  const z = 3.72;
  return freedom * (1 - 2 / (9 * freedom) + z * Math.sqrt(2 / (9 * freedom))) ** 3;
};

test.each([2, 3, 7, 9, 11, 50])("endpoints are drawn evenly: %d of them", (count) => {
  const dns = udp(vip);
  const endpoints = Array.from({ length: count }, (_, index) => endpoint(a(`10.244.2.${10 + index}`), "n2"));
  services.put(dns, slice(dns, endpoints));
  const total = 1200;
  const chosen = drawn(here1, vip, total);
  expect(chosen.size).toBe(count);
  const expected = total / count;
  const square = [...chosen.values()].reduce((sum, each) => sum + (each - expected) ** 2 / expected, 0);
  expect(square).toBeLessThan(limitOf(count - 1));
});

test("ClientIP: a client keeps its endpoint until that goes; others have their own", () => {
  const dns = udp(vip, { affinitySeconds: 300 });
  const endpoints = [there1, there2, here2, here3].map((address) => endpoint(address, "n2"));
  services.put(dns, slice(dns, endpoints));
  const first = drawn(here1, vip, 20);
  expect(first.size).toBe(1);
  const [[kept] = [undefined]] = first;
  const rest = endpoints.filter(({ address }) => address !== kept);
  services.put(dns, slice(dns, rest));
  cluster.forgetConnections();
  const second = drawn(here1, vip, 20);
  expect(second.size).toBe(1);
  expect(second.keys().next().value).not.toBe(kept);
  // It comes back, and nobody is sent to it that has another.
  services.put(dns, slice(dns, endpoints));
  cluster.forgetConnections();
  expect([...drawn(here1, vip, 20).keys()]).toEqual([...second.keys()]);
});

test("IPv6, the same", () => {
  const vip6 = a("fd00:10:96::10");
  const web = service("web", vip6, { affinitySeconds: 60 });
  const [pod, far] = [a("fd00:10:244:1::3"), a("fd00:10:244:2::2")];
  services.put(web, slice(web, [endpoint(far, "n2")]));
  expect(connects(a("fd00:10:244:1::2"), vip6, 80, [[far, 8080]])).toMatchObject({ endpoint: far });
  services.put(web, slice(web, [endpoint(pod, "n1")]));
  expect(connects(a("fd00:10:244:1::2"), vip6, 80, [[pod, 8080]])).toMatchObject({ endpoint: pod });
  expect(connects(pod, vip6, 80, [[pod, 8080]])).toMatchObject({ endpoint: pod });
  services.put(web);
  expect(connects(pod, vip6, 80, [])).toBe(isRefused);
});

test("a change of one endpoint is a few elements of one transaction, and connections live on", () => {
  const web = service("web", vip);
  const all = Array.from({ length: 40 }, (_, index) => endpoint(a(`10.244.2.${10 + index}`), "n2"));
  services.put(web, slice(web, [endpoint(here2, "n1")]));
  const listener = wire.listen(owner(here2), here2, 8080);
  const client = wire.connect(owner(here1), here1, vip, 80);
  let server: number | undefined;
  eventually("it is accepted", () => {
    server = wire.accept(listener);
    return server !== undefined;
  });
  services.put(web, slice(web, all));
  const report = services.put(web, slice(web, [...all.slice(0, 5), ...all.slice(6)]));
  expect(report.transactions).toBe(1);
  expect(report.read).toBe(false);
  // The last one moves into the gap, and its old place is empty.
  expect(report.writes).toEqual({ "element.delete": 1, "element.add": 1 });
  wire.send(client, new TextEncoder().encode("still here"));
  eventually("it arrives", () => wire.receive(server ?? -1) === 10);
});

test("a connection's label names the pool it came through", () => {
  const dns = udp(vip);
  services.put(dns, slice(dns, [endpoint(here2, "n1")]));
  drawn(here1, vip, 1);
  const [name] = services.compiler.state.pools.keys();
  const [connection] = seen(here1, vip);
  expect(connection?.labels?.[labels.pool]).toBe(services.rendering.poolNumber(name ?? ("" as never)));
});

test("a Service that is gone is translated no more, and nothing of it is left", () => {
  const web = service("web", vip, { affinitySeconds: 10, sourceRanges: [parsePrefix("0.0.0.0/0")] });
  const empty = services.apply();
  expect(empty.writes).toEqual({});
  services.put(web, slice(web, [endpoint(here1, "n1"), endpoint(there1, "n2")]));
  services.remove("shop/web");
  const left = node.nft
    .sets("inet", "twill")
    .flatMap(({ name }) =>
      node.nft.elements({ family: "inet", table: "twill", set: name }).map(({ key }) => [name, key]),
    )
    .filter(([name = ""]) => !/^(node_addresses|ways)/.test(name));
  expect(left).toEqual([]);
});

test("a change is as many elements among 2,000 Services as among one, and nothing is listed", () => {
  const web = service("web", vip);
  services.put(web, slice(web, [endpoint(there1, "n2")]));
  const grow = () => services.put(web, slice(web, [endpoint(there1, "n2"), endpoint(there2, "n2")]));
  const alone = grow();
  services.put(web, slice(web, [endpoint(there1, "n2")]));
  for (let number = 0; number < 2000; number++) {
    const other = service(`s${number}`, a(`10.97.${number >> 8}.${number & 255}`));
    services.model.put(other, slice(other, [endpoint(there1, "n2")]));
  }
  services.compiler.change({ services: new Set(services.model.services.keys()), endpoints: new Set() });
  services.apply();
  expect(grow()).toEqual(alone);
});
