import { expect, onTestFinished, setDefaultTimeout, test } from "bun:test";
import { missingFeatures } from "../../src/apply/nft-features.ts";
import { NftTableKeeper } from "../../src/apply/nft-table.ts";
import { parseAddress } from "../../src/base/address.ts";
import { silentLog } from "../../src/base/log.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { passHook } from "../../src/insight/ruleset.ts";
import type { Nft } from "../../src/kernel/nft.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import { byteData, concatenated, hostData, portData } from "../../src/objects/nft-data.ts";
import { masqueradeTable } from "../../src/render/masquerade.ts";
import { policyFeatures } from "../../src/render/policy/features.ts";
import type { PolicyOptions } from "../../src/render/policy/options.ts";
import { PolicyRendering } from "../../src/render/policy/policy-rendering.ts";
import { firstPacket, rulesetOf } from "../oracle/nft/interpret.ts";
import { type TestNetns, testNetns } from "../support/netns.ts";
import { Enforcer, routed } from "./enforcer.fixture.ts";
import { stateOf } from "./policy-state.fixture.ts";

setDefaultTimeout(60_000);

const everything: PolicyOptions = {
  established: "recheck",
  deny: "reject",
  log: { perSecond: 10, burst: 10 },
  podInterfaces: "twl",
};
const state = stateOf({
  addresses: { "10.1.0.2": [3, 5, 6], "fd00::2": [3, 5, 6], "10.1.0.9": [4, 0, 0] },
  networks: [
    ["192.0.2.0", "192.0.2.255", 7],
    ["2001:db8::", "2001:db8::ffff", 8],
  ],
  ports: [
    [5, 6, 80, 80, 1],
    [5, 6, 90, 99, 2],
    [5, 17, 1000, 2000, 1],
    [5, 1, 2048, 2303, 1],
  ],
  decisions: { "5/0/0/0": "deny", "5/4/6/1": "allow", "6/0/0/0": "allow" },
});

function open(netns: TestNetns): Nft {
  const nft = openNft({ netns: netns.fd });
  onTestFinished(() => nft.close());
  return nft;
}

test.each([routed, everything, { established: "keep", deny: "drop" } as const])(
  "a restart that finds what it wants writes nothing but its name: %o",
  (options) => {
    const netns = testNetns();
    const old = open(netns);
    const content = () => {
      const masquerade = masqueradeTable({ networks: [parsePrefix("10.1.0.0/16")], local: [], families: [4] });
      const policy = new PolicyRendering(options).table(state);
      return {
        ...policy,
        chains: [...masquerade.chains, ...policy.chains],
        rules: [...masquerade.rules, ...policy.rules],
      };
    };
    const keeperOf = (nft: Nft) => new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });
    const first = keeperOf(old);
    first.apply(content());
    // As after some changes: in another epoch than the first.
    const key = concatenated(hostData(7), byteData(6), portData(80));
    first.patch([{ set: "ports", put: [{ key, data: concatenated(hostData(0), hostData(1)) }] }]);
    first.patch([{ set: "ports", remove: [key] }]);
    old.close();
    expect(keeperOf(open(netns)).apply(content())).toEqual({ writes: { "table.add": 1 }, transactions: 1, read: true });
  },
);

test("nft lists the table, each rule with its comment", () => {
  const netns = testNetns();
  const enforcer = new Enforcer(open(netns));
  enforcer.enforce(state, everything);
  const listing = netns.run("nft", "list", "table", "inet", "twill");
  const rules = enforcer.nft.rules({ family: "inet", table: "twill" });
  expect(rules.length).toBeGreaterThan(100);
  for (const { comment } of rules) expect(listing).toContain(`comment "${comment}"`);
  expect(listing).toContain('comment "deny ingress: NetworkPolicy test/5/0/0/0 rule 1 #');
  expect(listing).toContain("10.1.0.2 : 0x00000003");
});

test("a pod of a known class is one element; on its own node one more, for what it sends itself", () => {
  const netns = testNetns();
  const nft = open(netns);
  const enforcer = new Enforcer(nft);
  enforcer.enforce(state);
  const counted = (): number =>
    ["addresses4", "addresses6", "selves4", "selves6"].reduce(
      (sum, set) => sum + nft.elements({ family: "inet", table: "twill", set }).length,
      0,
    );
  const before = counted();
  const elsewhere = { class: 4, ingress: 0, egress: 0 };
  expect(enforcer.change({ addresses: new Map([[parseAddress("10.1.7.7"), elsewhere]]) })).toEqual({
    writes: { "element.add": 1 },
    transactions: 1,
    read: false,
  });
  expect(counted() - before).toBe(1);
  const here = { class: 3, ingress: 5, egress: 6 };
  const both = ["10.1.0.8", "fd00::8"].map(parseAddress);
  enforcer.change({ addresses: new Map(both.map((address) => [address, here])) });
  expect(counted() - before).toBe(1 + 4);
  enforcer.change({ addresses: new Map(both.map((address) => [address, undefined])) });
  expect(counted() - before).toBe(1);
});

test("changes, one by one, come to what is rendered at once: hints, wide ranges and networks too", () => {
  const netns = testNetns();
  const enforcer = new Enforcer(open(netns));
  const empty = stateOf({ addresses: {}, decisions: {} });
  enforcer.enforce(empty);
  for (const [address, row] of state.addresses) enforcer.change({ addresses: new Map([[address, row]]) });
  for (const [number, decision] of state.verdicts) enforcer.change({ verdicts: new Map([[number, decision]]) });
  for (const [key, number] of state.decisions) enforcer.change({ decisions: new Map([[key, number]]) });
  for (const [key, row] of state.ports) enforcer.change({ ports: new Map([[key, row]]) });
  enforcer.change({ networks: state.networks });
  expect(enforcer.keeper.apply(new PolicyRendering(routed).table(state)).writes).toEqual({});
  // And away again.
  const gone = <K>(map: ReadonlyMap<K, unknown>) => new Map([...map.keys()].map((key) => [key, undefined]));
  enforcer.change({ ports: gone(state.ports) });
  enforcer.change({ networks: [], decisions: gone(state.decisions), verdicts: gone(state.verdicts) });
  enforcer.change({ addresses: gone(state.addresses) });
  expect(enforcer.keeper.apply(new PolicyRendering(routed).table(empty)).writes).toEqual({});
  enforcer.keeper.resync();
  expect(enforcer.keeper.reapply().writes).toEqual({});
});

test("this kernel has what policy needs, and asking leaves nothing behind", () => {
  const nft = open(testNetns());
  expect(missingFeatures(nft, policyFeatures(everything))).toEqual([]);
  expect(nft.tables()).toEqual([]);
});

test("whoever traces a packet through the table, one hook at a time, sees it pass where it is allowed", () => {
  const ruleset = rulesetOf(new PolicyRendering(routed).table(state));
  const packet = (port: number) => firstPacket(parseAddress("10.1.0.9"), parseAddress("10.1.0.2"), 6, port);
  expect(passHook(ruleset, "forward", { packet: packet(80) })).toEqual({ drops: "no" });
  expect(passHook(ruleset, "forward", { packet: packet(81) })).toMatchObject({ drops: "yes" });
});
