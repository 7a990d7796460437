import { expect, test } from "bun:test";
import type { Address } from "../../../src/base/address.ts";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { FakeConntrack } from "../../../src/kernel/fake-conntrack.ts";
import { type AddressRow, type Decision, decisionKey, type PolicyState } from "../../../src/model/policy-state.ts";
import type { Connection } from "../../../src/objects/conntrack.ts";
import { Recheck } from "./recheck.ts";

const at = (text: string) => text as Address;
const [pod, friend, stranger, node, service] = ["10.0.0.1", "10.0.1.1", "10.0.1.2", "192.168.0.1", "10.96.0.1"].map(at);
const decision = (verdict: Decision["verdict"]): Decision => ({
  direction: "ingress",
  verdict,
  log: false,
  reason: { by: "no-policy" },
});
const row = (of: number, ingress = 0): AddressRow => ({ class: of, ingress, egress: 0 });

/** To `pod`, class 2 alone may speak. */
const closed: PolicyState = {
  addresses: new Map([
    [at("10.0.0.1"), row(0, 5)],
    [at("10.0.1.1"), row(2)],
    [at("10.0.1.2"), row(3)],
  ]),
  networks: [],
  ports: new Map(),
  decisions: new Map([
    [decisionKey(5, 0, 0, 0), 1],
    [decisionKey(5, 2, 0, 0), 2],
  ]),
  verdicts: new Map([
    [1, decision("deny")],
    [2, decision("allow")],
  ]),
};
const open: PolicyState = { ...closed, decisions: new Map([[decisionKey(5, 0, 0, 0), 2]]) };

let ports = 1000;
function connection(from = "", to = "", by = to, labels: readonly number[] | undefined = [0, 0, 0, 0]): Connection {
  const [sourcePort, destinationPort] = [ports++, 80];
  return {
    original: { source: at(from), destination: at(to), protocol: 6, sourcePort, destinationPort },
    reply: { source: at(by), destination: at(from), protocol: 6, sourcePort: 80, destinationPort: sourcePort },
    status: 0,
    family: 4,
    ...(labels === undefined ? {} : { labels }),
  };
}

test("cut is what would be denied now, by whichever address it was asked; what the node began is not; a mark is taken back", () => {
  const conntrack = new FakeConntrack();
  let state: PolicyState | undefined = closed;
  const recheck = new Recheck({
    conntrack,
    state: () => state,
    ownAddresses: () => [at("192.168.0.1")],
    clock: new FakeClock(),
    log: silentLog,
  });
  conntrack.table.push(
    connection(friend, pod),
    connection(stranger, pod, pod, [7, 9, 0, 0]),
    connection(stranger, service, pod),
    connection(node, pod),
    connection(pod, stranger),
  );
  expect(recheck.look()).toEqual({ cut: 2, mended: 0 });
  expect(conntrack.table.map(({ labels }) => labels?.join())).toEqual([
    "0,0,0,0",
    "7,9,1,0",
    "0,0,1,0",
    "0,0,0,0",
    "0,0,0,0",
  ]);
  expect(recheck.look()).toEqual({ cut: 0, mended: 0 });
  state = open;
  expect(recheck.look()).toEqual({ cut: 0, mended: 2 });
  expect(conntrack.table[1]?.labels).toEqual([7, 9, 0, 0]);
  state = undefined;
  expect(recheck.look()).toEqual({ cut: 0, mended: 0 });
});

test("many changes are one look, and looks leave the processor to others", async () => {
  const clock = new FakeClock();
  const conntrack = new FakeConntrack();
  const recheck = new Recheck({ conntrack, state: () => closed, ownAddresses: () => [], clock, log: silentLog });
  for (let count = 0; count < 100; count++) recheck.changed();
  expect(conntrack.counters.dumps).toBe(0);
  await clock.advance(50);
  await Bun.sleep(0);
  expect(conntrack.counters.dumps).toBe(1);
  await clock.advance(1000);
  expect(conntrack.counters.dumps).toBe(1);
  recheck.stop();
});
