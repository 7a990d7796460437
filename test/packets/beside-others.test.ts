import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { foreignDrops } from "../../src/apply/foreign-drops.ts";
import { parseAddress } from "../../src/base/address.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import { BareCluster, type BareNode } from "../conformance/rig/bare-cluster.ts";
import { Traffic, type TriedFlow } from "../conformance/rig/traffic.ts";
import { Enforcer } from "./enforcer.fixture.ts";
import { stateOf } from "./policy-state.fixture.ts";

setDefaultTimeout(60_000);

const [a, b] = ["10.244.1.2", "10.244.1.3"].map(parseAddress) as [TriedFlow["source"], TriedFlow["source"]];
const state = stateOf({
  addresses: { [a]: [1, 0, 0], [b]: [2, 11, 0] },
  ports: [[11, 6, 80, 80, 1]],
  decisions: { "11/0/0/0": "deny", "11/1/6/1": "allow" },
});
const flow = (destinationPort: number): TriedFlow => ({ source: a, destination: b, protocol: "TCP", destinationPort });

let cluster: BareCluster;
let traffic: Traffic;
let node: BareNode;
let enforcer: Enforcer;
beforeAll(() => {
  cluster = new BareCluster(2);
  traffic = new Traffic(cluster);
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error("no node");
  node = first;
  enforcer = new Enforcer(node.nft);
  enforcer.enforce(state);
});
afterEach(() => cluster.forgetConnections());
afterAll(() => {
  traffic.close();
  cluster.close();
});

const holds = (): void => {
  const arrived = traffic.send([flow(80), flow(81)], 1);
  expect(arrived).toEqual([true, false]);
};

test("what others accept does not open what policy denies, whichever chain they hang in", () => {
  holds();
  const { netns } = node;
  // kube-proxy in its two modes, and a firewall that trusts the pods.
  netns.run(
    "nft",
    `add table ip kube-proxy
     add chain ip kube-proxy filter-forward { type filter hook forward priority -110; policy accept; }
     add rule ip kube-proxy filter-forward ct state new accept
     add table inet firewalld
     add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }
     add rule inet firewalld filter_FORWARD accept`,
  );
  netns.run("iptables-nft", "-I", "FORWARD", "-j", "ACCEPT");
  holds();
});

test("what others drop is theirs, and is named", () => {
  const { netns } = node;
  netns.run("iptables-nft", "-I", "FORWARD", "-p", "tcp", "--dport", "80", "-j", "DROP");
  const before = enforcer.counts().get(2);
  expect(traffic.send([flow(80)], 0)).toEqual([false]);
  expect(enforcer.counts().get(2)).toBe((before ?? 0) + 1);
  const nft = openNft({ netns: netns.fd });
  expect(foreignDrops(nft, ["twill"]).map(({ text }) => text)).toEqual([
    expect.stringMatching(/^ip filter FORWARD: rule handle \d+ drops some packets$/),
  ]);
  nft.close();
  netns.run("iptables-nft", "-D", "FORWARD", "1");
  holds();
});

test("an administrator's `flush ruleset` takes the others away, and not policy", () => {
  const { netns } = node;
  netns.run("nft", "flush", "ruleset");
  expect(netns.run("nft", "list", "tables").trim()).toBe("table inet twill");
  holds();
  // Nothing has to be healed, and nobody else can change it.
  expect(enforcer.keeper.owned).toBe(true);
  expect(() => netns.run("nft", "flush", "table", "inet", "twill")).toThrow("not permitted");
  enforcer.keeper.resync();
  expect(enforcer.keeper.reapply().writes).toEqual({});
});

test("a dead agent's policy stands, and the next one takes it over as it is", () => {
  node.nft.close();
  holds();
  const next = openNft({ netns: node.netns.fd });
  const enforcement = new Enforcer(next);
  expect(enforcement.enforce(state).writes).toEqual({ "table.add": 1 });
  holds();
  next.close();
});
