import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { NftTableKeeper } from "../../src/apply/nft-table.ts";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { silentLog } from "../../src/base/log.ts";
import { ServicesCompiler } from "../../src/compile/services/services-compiler.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";
import { ServicesRendering } from "../../src/render/services/services-rendering.ts";
import { BareCluster } from "../conformance/rig/bare-cluster.ts";
import { underlayOf } from "../conformance/rig/plan.ts";
import { routed } from "../packets/enforcer.fixture.ts";
import { stateOf } from "../packets/policy-state.fixture.ts";
import { eventually, Wire } from "../packets/wire.fixture.ts";
import { a, clusterNetworks, endpoint, HandModel, service, slice } from "./service-node.fixture.ts";

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

const [web, friend, stranger] = ["10.244.1.2", "10.244.1.3", "10.244.1.4"].map(parseAddress) as [
  Address,
  Address,
  Address,
];
const vip = a("10.96.0.10");
const client = a("198.51.100.9");

test("in one table, policy sees pods on both ends of a Service, and clients of a node port with their own address", () => {
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error("no node");
  const model = new HandModel();
  const ports = [{ name: "http", protocol: 6, port: 80, nodePort: 30_080 }];
  const shop = service("web", vip, { ports, externalPolicy: "local" });
  model.put(shop, slice(shop, [endpoint(web, "n1")]));
  const services = new ServicesRendering({ clusterNetworks, nodeAddresses: new Set([underlayOf(1, 4)]) });
  const policy = new PolicyRendering(routed);
  // The endpoint takes class 1, who are the friend and one address outside.
  const enforced = policy.table(
    stateOf({
      addresses: { [web]: [2, 10, 0], [friend]: [1, 0, 0], [stranger]: [3, 0, 0] },
      networks: [[client, client, 1]],
      decisions: { "10/0/0/0": "deny", "10/1/0/0": "allow" },
    }),
  );
  const compiler = new ServicesCompiler(model, { name: "n1" });
  const served = services.table(compiler.state);
  const keeper = new NftTableKeeper({ nft: node.nft, log: silentLog, family: "inet", name: "twill" });
  keeper.apply({
    table: served.table,
    chains: [...enforced.chains, ...served.chains],
    rules: [...enforced.rules, ...served.rules],
    sets: [...enforced.sets, ...served.sets],
  });
  const listener = wire.listen(cluster.owner(web), web, 8080);
  const epoch = () =>
    node.nft
      .elements({ family: "inet", table: "twill", set: "epoch" })
      .map(({ key }) => key)
      .sort();
  const before = epoch();
  const denied = () =>
    node.nft
      .rules({ family: "inet", table: "twill", chain: "deny_ingress" })
      .flatMap(({ expressions }) => expressions)
      .reduce((sum, each) => sum + (each.type === "counter" ? Number(each.packets ?? 0n) : 0), 0);
  const allowed = (from: Address, to: Address, port: number) => {
    wire.connect(cluster.owner(from), from, to, port);
    eventually(`${from} gets in`, () => wire.accept(listener) !== undefined);
  };
  const refused = (from: Address, to: Address, port: number) => {
    const sum = denied();
    wire.connect(cluster.owner(from), from, to, port);
    eventually(`${from} is denied`, () => denied() > sum);
    expect(wire.accept(listener)).toBeUndefined();
  };
  allowed(friend, vip, 80);
  refused(stranger, vip, 80);
  allowed(client, underlayOf(1, 4), 30_080);
  refused(a("198.51.100.10"), underlayOf(1, 4), 30_080);
  // A pod that is its own endpoint, with nobody else allowed in.
  allowed(web, vip, 80);
  // A change of endpoints is none of policy's business.
  model.put(shop, slice(shop, [endpoint(web, "n1"), endpoint(a("10.244.2.9"), "n2")]));
  const patch = services.change(compiler.change({ services: new Set(), endpoints: new Set(["shop/web"]) }));
  keeper.patch(patch ?? []);
  expect(epoch()).toEqual(before);
  keeper.remove();
});
