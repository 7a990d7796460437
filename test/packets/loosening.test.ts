import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Address, parseAddress } from "../../src/base/address.ts";
import type { PolicyChange, PolicyState } from "../../src/model/policy-state.ts";
import { BareCluster } from "../conformance/rig/bare-cluster.ts";
import { Enforcer, routed } from "./enforcer.fixture.ts";
import { stateOf } from "./policy-state.fixture.ts";
import { Wire } from "./wire.fixture.ts";

setDefaultTimeout(120_000);

const [a, b] = ["10.244.1.2", "10.244.1.3"].map(parseAddress) as [Address, Address];
const [denied, allowed] = [7777, 7778];
/** So many updates of a whole table, and so many times as many of single elements: thousands on demand. */
const wanted = Number(process.env.TWILL_LOOSENING_UPDATES ?? 60);
const single = 20;

let cluster: BareCluster;
let enforcer: Enforcer;
let wire: Wire;
/** Of the receiver, by port. */
let bad: number;
let good: number;
beforeAll(() => {
  cluster = new BareCluster(2);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error("no node");
  enforcer = new Enforcer(node.nft);
  wire = new Wire();
  bad = wire.udp(cluster.owner(b), b, denied);
  good = wire.udp(cluster.owner(b), b, allowed);
});
afterEach(() => enforcer.off());
afterAll(() => {
  wire.close();
  cluster.close();
});

/**
 * Goes through the states again and again while another process sends: to one port what none of them allows, to another what all do.
 * @param updates how many steps. @param step from one state to the next.
 * @returns how many of either arrived, and how many were sent of what is allowed.
 */
async function probe(
  states: readonly PolicyState[],
  updates: number,
  step: (from: PolicyState, to: PolicyState) => void,
) {
  cluster.forgetConnections();
  while (wire.receive(bad) > 0 || wire.receive(good) > 0) {}
  const [first] = states;
  if (first === undefined) throw new Error("no states");
  enforcer.enforce(first, routed);
  const program = [process.execPath, join(import.meta.dir, "sender-program.ts"), b, String(denied), String(allowed)];
  const sender = cluster.owner(a).enter(() => Bun.spawn(program, { stdin: "pipe", stdout: "pipe", stderr: "inherit" }));
  const arrived = { denied: 0, allowed: 0 };
  const drain = (): void => {
    while (wire.receive(bad) > 0) arrived.denied++;
    while (wire.receive(good) > 0) arrived.allowed++;
  };
  while (arrived.allowed === 0) {
    drain();
    await Bun.sleep(5);
  }
  let state = first;
  for (let update = 1; update <= updates; update++) {
    const next = states[update % states.length] ?? first;
    step(state, next);
    state = next;
    drain();
    await Bun.sleep(0);
  }
  sender.stdin.end();
  const sent = Number(await new Response(sender.stdout).text());
  for (const until = Date.now() + 2000; Date.now() < until && arrived.allowed < sent; drain()) Bun.sleepSync(2);
  return { ...arrived, sent };
}

const table = (
  row: { readonly a: readonly [number, number, number]; readonly b: readonly [number, number, number] },
  rest: Omit<Parameters<typeof stateOf>[0], "addresses">,
): PolicyState => stateOf({ addresses: { [a]: row.a, [b]: row.b }, ...rest });

const port = (group: number, of = 1) => [group, 17, allowed, allowed, of] as const;
const states = [
  // By class and port.
  table(
    { a: [1, 0, 20], b: [2, 0, 0] },
    {
      ports: [port(20)],
      decisions: { "20/0/0/0": "deny", "20/2/17/1": "allow" },
    },
  ),
  // By any class; ingress instead of egress, by another group.
  table(
    { a: [3, 0, 0], b: [2, 21, 0] },
    {
      ports: [port(21)],
      decisions: { "21/0/0/0": "deny", "21/0/17/1": "allow" },
    },
  ),
  // Both; networks come and go.
  table(
    { a: [1, 0, 20], b: [4, 22, 0] },
    {
      networks: [["10.0.0.0", "10.255.255.255", 9]],
      ports: [port(20), port(22), [22, 17, 100, 4000, 2]],
      decisions: {
        "20/0/0/0": "deny",
        "20/4/17/1": "allow",
        "22/0/0/0": "deny",
        "22/1/17/1": "allow",
        "22/0/17/2": "allow",
      },
    },
  ),
  // Everything of the class but the one port.
  table(
    { a: [1, 0, 23], b: [5, 0, 0] },
    {
      networks: [
        ["10.0.0.0", "10.244.0.255", 9],
        ["10.244.2.0", "10.255.255.255", 9],
      ],
      ports: [[23, 17, denied, denied, 1]],
      decisions: { "23/0/0/0": "deny", "23/5/0/0": "allow", "23/5/17/1": "deny" },
    },
  ),
];

/** What an incremental compiler would say of it. */
function changeBetween(from: PolicyState, to: PolicyState): PolicyChange {
  const rows = <K, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): Map<K, V | undefined> => {
    const gone = [...a.keys()].filter((key) => !b.has(key)).map((key): [K, undefined] => [key, undefined]);
    const other = [...b].filter(([key, value]) => !Bun.deepEquals(a.get(key), value));
    return new Map<K, V | undefined>([...gone, ...other]);
  };
  return {
    addresses: rows(from.addresses, to.addresses),
    ...(Bun.deepEquals(from.networks, to.networks) ? {} : { networks: to.networks }),
    ports: rows(from.ports, to.ports),
    decisions: rows(from.decisions, to.decisions),
    verdicts: rows(from.verdicts, to.verdicts),
  };
}

test("no packet finds a gap while policies, classes, groups, ports and networks change", async () => {
  const {
    denied: leaked,
    allowed: passed,
    sent,
  } = await probe(states, wanted, (_, to) => enforcer.enforce(to, routed));
  expect(leaked).toBe(0);
  // A packet that meets a change may be dropped.
  expect(sent - passed).toBeLessThan(3);
});

test("nor while elements change one transaction after the other", async () => {
  const exact = states.slice(0, 2);
  const {
    denied: leaked,
    allowed: passed,
    sent,
  } = await probe(exact, wanted * single, (from, to) => enforcer.change(changeBetween(from, to)));
  expect(leaked).toBe(0);
  expect(sent - passed).toBeLessThan(3);
});

test("nor between one rule that judges and the next", async () => {
  // Of class 2 the port is denied and all else allowed; of class 3 everything is denied, but for the other port.
  const decisions = {
    "20/0/0/0": "deny",
    "20/2/17/1": "deny",
    "20/2/0/0": "allow",
    "20/3/17/2": "allow",
    "20/3/0/0": "deny",
  } as const;
  const ports = [
    [20, 17, denied, denied, 1],
    [20, 17, allowed, allowed, 2],
  ] as const;
  const alternating = [2, 3].map((of) => table({ a: [1, 0, 20], b: [of, 0, 0] }, { ports, decisions }));
  const {
    denied: leaked,
    allowed: passed,
    sent,
  } = await probe(alternating, wanted * single, (from, to) => enforcer.change(changeBetween(from, to)));
  expect(leaked).toBe(0);
  expect(sent - passed).toBeLessThan(3);
});
