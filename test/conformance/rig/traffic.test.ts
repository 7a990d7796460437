import { expect, test } from "bun:test";
import { parseAddress } from "../../../src/base/address.ts";
import { BareCluster } from "./bare-cluster.ts";
import { crc32c } from "./raw-packet.ts";
import { Traffic, type TriedFlow } from "./traffic.ts";

test("CRC-32C is that of its published check value", () => {
  expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
});

test("without policy, packets of every protocol arrive: between pods, nodes and the outside, in both families", () => {
  const cluster = new BareCluster(2);
  const traffic = new Traffic(cluster);
  try {
    const ends = {
      4: [
        "10.244.1.2",
        "10.244.1.3",
        "10.244.2.2",
        "192.168.50.1",
        "10.244.3.0",
        "203.0.113.2",
        "198.51.100.9",
        "10.9.8.7",
      ],
      6: [
        "fd00:10:244:1::2",
        "fd00:10:244:1::3",
        "fd00:10:244:2::2",
        "fd00:192:168:50::1",
        "fd00:10:244:3::",
        "2001:db8::9",
      ],
    } as const;
    const flows = Object.values(ends).flatMap((list) =>
      list.flatMap((from) =>
        list
          .filter((to) => to !== from && (isPod(from) || isPod(to)))
          .flatMap((to) =>
            (["TCP", "UDP", "SCTP", "ICMP", "GRE"] as const).map(
              (protocol): TriedFlow => ({
                source: parseAddress(from),
                destination: parseAddress(to),
                protocol,
                destinationPort: 80,
              }),
            ),
          ),
      ),
    );
    const arrived = traffic.send(flows, flows.length);
    expect(flows.filter((_, index) => !arrived[index])).toEqual([]);
    expect(flows.length).toBe(300);
  } finally {
    traffic.close();
    cluster.close();
  }
}, 60_000);

const isPod = (address: string): boolean => /^(10\.244\.\d\.|fd00:10:244:\d::)[1-9]$/.test(address);
