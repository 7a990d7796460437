import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import type { AddressRow, Decision, PolicyChange, PolicyState } from "../../model/policy-state.ts";
import type { SetChange } from "../set-change.ts";
import { hints, setNames } from "./names.ts";
import { PolicyRendering } from "./policy-rendering.ts";
import { policyTable } from "./policy-table.ts";
import { actionElements, contentHash, verdictElement } from "./rows.ts";
import { policySets, sized } from "./sets.ts";

const options = { established: "keep", deny: "drop", podInterfaces: "twl" } as const;
const empty: PolicyState = {
  addresses: new Map(),
  networks: [],
  ports: new Map(),
  decisions: new Map(),
  verdicts: new Map(),
};
const pod = parseAddress("10.1.0.2");
const row: AddressRow = { class: 3, ingress: 5, egress: 6 };
const change = (rest: Partial<PolicyChange>): PolicyChange =>
  ({ ...empty, networks: undefined, ...rest }) as PolicyChange;

/** Word 1 of the row that is put for the address. */
function hintsPut(changes: readonly SetChange[]): string | undefined {
  const data = changes.find(({ set }) => set === setNames.addresses[4])?.put[0]?.data;
  return typeof data === "string" ? data.slice(8, 16) : undefined;
}
const word = (number: number): string => `0${number}000000`;

test("without policies there are chains, and rows that stand for all others", () => {
  const { sets } = policyTable(empty, options);
  const elements = Object.fromEntries(sets.map(({ set, elements: all }) => [set.name, all.length]));
  expect(elements).toEqual({
    addresses4: 1,
    addresses6: 1,
    networks4: 1,
    networks6: 1,
    selves4: 0,
    selves6: 0,
    ports: 1,
    port_ranges: 1,
    icmp: 1,
    decisions: 0,
    verdicts: 0,
    actions: 3,
    epoch: 2,
  });
});

test("a row hints at what its groups have beside named ports, and is put again when that changes", () => {
  const rendering = new PolicyRendering(options);
  rendering.table(empty);
  const first = change({ addresses: new Map([[pod, row]]), decisions: new Map([["5/0/0/0", 1]]) });
  expect(hintsPut(rendering.change(first))).toBe(word(0));
  // A named port is looked up in any case.
  const named = change({ ports: new Map([["5/6/80", { group: 5, protocol: 6, first: 80, last: 80, class: 1 }]]) });
  expect(hintsPut(rendering.change(named))).toBeUndefined();
  expect(hintsPut(rendering.change(change({ decisions: new Map([["5/0/6/0", 2]]) })))).toBe(word(hints.ingress));
  const range = { group: 6, protocol: 17, first: 1000, last: 2000, class: 1 };
  expect(hintsPut(rendering.change(change({ ports: new Map([["6/17/1000", range]]) })))).toBe(
    word(hints.ingress | hints.egress),
  );
  // One of two is gone: the hint stays.
  rendering.change(change({ decisions: new Map([["5/0/17/0", 2]]) }));
  expect(hintsPut(rendering.change(change({ decisions: new Map([["5/0/6/0", undefined]]) })))).toBeUndefined();
  expect(hintsPut(rendering.change(change({ decisions: new Map([["5/0/17/0", undefined]]) })))).toBe(
    word(hints.egress),
  );
  expect(hintsPut(rendering.change(change({ ports: new Map([["6/17/1000", undefined]]) })))).toBe(word(0));
});

test("what is gone and comes again in one change is put, not removed", () => {
  const rendering = new PolicyRendering(options);
  rendering.table({ ...empty, networks: [{ first: pod, last: parseAddress("10.1.0.9"), class: 1 }] });
  const [networks, ...rest] = rendering.change(
    change({ networks: [{ first: pod, last: parseAddress("10.1.0.20"), class: 1 }] }),
  );
  expect(rest).toEqual([]);
  expect(networks).toEqual({
    set: "networks4",
    put: [
      { key: "0a010002", data: "01000000" },
      { key: "0a010015", intervalEnd: true },
    ],
    remove: ["0a01000a]"],
  } as unknown as SetChange);
});

test("a decision's comment is one that nft prints and reads again, and bears its content's hash", () => {
  const decision: Decision = {
    direction: "ingress",
    verdict: "deny",
    log: false,
    reason: { by: "rule", policy: { kind: "GlobalNetworkPolicy", name: `a"b\n${"ü".repeat(200)}` }, rule: 0 },
  };
  const { comment = "", data } = verdictElement(7, decision);
  expect(comment).toMatch(/^deny ingress: GlobalNetworkPolicy a\?b\?\?+ #[0-9a-f]{16}$/);
  expect(comment.length).toBeLessThan(128);
  expect(comment).toEndWith(contentHash(decision));
  const action = actionElements.find(({ key }) => data === `00000000${key}`);
  expect(action?.data).toEqual({ verdict: "goto", chain: "deny_ingress" });
  expect(contentHash({ ...decision, log: true })).not.toBe(contentHash(decision));
});

test("exact sets are declared with room; ranges and what counts are not", () => {
  const sizes = Object.fromEntries(policySets.map((set) => [set.name, sized(set, 3000).size]));
  expect(sizes).toMatchObject({ addresses4: 8192, decisions: 8192, selves6: 8192 });
  expect([sizes.networks4, sizes.port_ranges, sizes.verdicts]).toEqual([undefined, undefined, undefined]);
  expect(policySets.map((set) => sized(set, 0).size).filter((size) => size !== undefined && size < 1024)).toEqual([]);
});
