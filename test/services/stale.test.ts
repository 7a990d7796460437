import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { isStale, type TranslatedFlow } from "../../src/compile/services/stale-flow.ts";
import { protocols } from "../../src/model/policy.ts";
import type { Connection } from "../../src/objects/conntrack.ts";
import { labels } from "../../src/render/hooks.ts";
import { BareCluster } from "../conformance/rig/bare-cluster.ts";
import { underlayOf } from "../conformance/rig/plan.ts";
import { eventually, Wire } from "../packets/wire.fixture.ts";
import { a, endpoint, ServiceNode, service, slice } from "./service-node.fixture.ts";

setDefaultTimeout(60_000);

let cluster: BareCluster;
const wire = new Wire();
beforeAll(() => {
  cluster = new BareCluster(3);
});
afterAll(() => {
  wire.close();
  cluster.close();
});

const flowOf = ({ original, reply, labels: held }: Connection): TranslatedFlow => ({
  protocol: original.protocol,
  destination: original.destination,
  destinationPort: original.destinationPort ?? 0,
  endpoint: reply.source,
  endpointPort: reply.sourcePort ?? 0,
  throughService: ((held?.[labels.pool] ?? 0) & ~1) !== 0,
});

test("a client that goes on sending from one port is given another endpoint when its own is gone, and others are left alone", () => {
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error("no node");
  const services = new ServiceNode(node);
  const [client, one, two] = [2, 3, 4].map((host) => a(`10.244.1.${host}`)) as [
    ReturnType<typeof a>,
    ReturnType<typeof a>,
    ReturnType<typeof a>,
  ];
  const vip = a("10.96.0.10");
  const dns = service("dns", vip, { ports: [{ name: "dns", protocol: protocols.udp, port: 53 }] });
  const socketOf = new Map([one, two].map((each) => [each, wire.udp(cluster.owner(each), each, 8080)]));
  const udp = wire.connectUdp(cluster.owner(client), client, vip, 53);
  const arrives = (at: typeof one) =>
    eventually(`a datagram reaches ${at}`, () => {
      wire.send(udp, Uint8Array.of(1));
      return wire.receive(socketOf.get(at) ?? -1) === 1;
    });
  const forget = () =>
    node.conntrack.deleteWhere((connection) =>
      isStale(flowOf(connection), services.compiler.state, new Set([underlayOf(1, 4)])),
    );

  services.put(dns, slice(dns, [endpoint(one, "n1")]));
  arrives(one);
  expect(forget()).toBe(0);
  services.put(dns, slice(dns, [endpoint(two, "n1")]));
  expect(forget()).toBe(1);
  arrives(two);
  services.remove("shop/dns");
  expect(forget()).toBe(1);
  services.off();
});
