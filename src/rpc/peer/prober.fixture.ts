/** A prober in a process of its own, twenty times as fast: `prober.fixture.ts NODE UNDERLAY OVERLAY`. Prints each state. */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { seededRandom, systemRandom } from "../../base/random.ts";
import { PeerProber } from "./prober.ts";
import { udpTransport } from "./transport.ts";

const [node = "", underlay = "", overlay = ""] = process.argv.slice(2);
const clock: Clock = {
  now: Date.now,
  monotonic: () => performance.now() * 20,
  sleep: (milliseconds) => Bun.sleep(milliseconds / 20),
};
const transport = udpTransport(
  9098,
  [underlay.includes(":") ? 6 : 4],
  (bytes, from, port) => prober.receive(bytes, from, port),
  silentLog,
);
const prober: PeerProber = new PeerProber({
  node,
  key: seededRandom(1).bytes(32),
  clock,
  random: systemRandom,
  log: silentLog,
  onChange: () => {
    const { state, failing } = prober.reachability("peer");
    process.stdout.write(`${[state, failing].filter(Boolean).join(" ")}\n`);
  },
  transport,
});
prober.change(new Map([["peer", { port: 9098, underlay: underlay as Address, overlay: overlay as Address }]]));
await prober.run(new AbortController().signal);
