import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { watchNflog } from "../../src/kernel/nflog.ts";
import { ThreadPoller } from "../../src/kernel/poller.ts";
import { logGroup, marks } from "../../src/render/hooks.ts";
import { BareCluster } from "../conformance/rig/bare-cluster.ts";
import { Enforcer, routed } from "./enforcer.fixture.ts";
import { stateOf } from "./policy-state.fixture.ts";
import { Wire } from "./wire.fixture.ts";

setDefaultTimeout(60_000);

const [a, b, c, d] = ["10.244.1.2", "10.244.1.3", "10.244.1.4", "10.244.2.2"].map(parseAddress) as [
  Address,
  Address,
  Address,
  Address,
];
const cluster = new BareCluster(3);
const poller = new ThreadPoller();
const wire = new Wire();
afterAll(async () => {
  wire.close();
  await poller.close();
  cluster.close();
});

test("a denied packet is reported with the number of its decision, at a bounded rate; others of ours with what they are", async () => {
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error("no node");
  const enforcer = new Enforcer(node.nft);
  enforcer.enforce(
    stateOf({
      addresses: { [a]: [1, 0, 10], [b]: [2, 11, 0] },
      decisions: { "10/0/0/0": "deny", "10/2/0/0": "allow", "11/0/0/0": "deny" },
    }),
    { ...routed, log: { perSecond: 1, burst: 20 } },
  );
  const seen: { readonly mark: number; readonly hook: number; readonly length: number }[] = [];
  const watch = watchNflog(
    poller,
    {
      group: logGroup.number,
      copyRange: logGroup.bytes,
      netns: node.netns.fd,
      pace: { perSecond: 1e6, burst: 1e6 },
      receiveBuffer: 1 << 20,
    },
    ({ mark, hook, payload }) => seen.push({ mark, hook, length: payload.length }),
  );
  try {
    const send = (from: Address, to: Address) => {
      const fd = wire.udp(cluster.owner(from), from);
      wire.send(fd, new Uint8Array(500), to, 9);
    };
    const reported = async (mark: number): Promise<void> => {
      const until = Date.now() + 8000;
      while (!seen.some((one) => one.mark === mark)) {
        if (Date.now() > until) throw new Error(`mark ${mark} was never reported`);
        await Bun.sleep(5);
      }
    };
    send(a, d);
    await reported(1);
    send(a, b);
    await reported(3);
    expect(seen.map(({ length, hook }) => [length, hook])).toEqual([
      [logGroup.bytes, 2],
      [logGroup.bytes, 2],
    ]);
    send(c, b);
    await reported(marks.unknownPod);
    const before = seen.length;
    for (let count = 0; count < 200; count++) {
      const fd = wire.udp(cluster.owner(a), a);
      wire.send(fd, Uint8Array.of(1), d, 9);
    }
    await Bun.sleep(300);
    expect(seen.length - before).toBeGreaterThan(0);
    // The burst, and one a second on a slow machine.
    expect(seen.length - before).toBeLessThan(100);
    expect(enforcer.counts().get(1)).toBe(201);
  } finally {
    watch.close();
  }
});
