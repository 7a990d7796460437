import { expect, test } from "bun:test";
import { golden } from "../../../test/support/fuzz.ts";
import { parseAddress } from "../../base/address.ts";
import { seededRandom } from "../../base/random.ts";
import { type Connection, connectionStatus } from "../../objects/conntrack.ts";
import { idleSeconds } from "./idle-time.ts";
import { seenConnection, seenPacket } from "./sightings.ts";

const client = parseAddress("10.1.0.2");
const service = parseAddress("10.96.0.10");
const backend = parseAddress("10.1.1.3");
const node = parseAddress("192.0.2.1");

const connection = (more: Partial<Connection> = {}): Connection => ({
  family: 4,
  status: connectionStatus.confirmed,
  original: { source: client, destination: backend, protocol: 6, sourcePort: 40_000, destinationPort: 80 },
  reply: { source: backend, destination: client, protocol: 6, sourcePort: 80, destinationPort: 40_000 },
  ...more,
});

test("a connection as policy saw it: behind DNAT, before SNAT", () => {
  expect(seenConnection(connection())).toEqual({ source: client, destination: backend, protocol: 6, port: 80 });
  const { original, reply } = connection();
  const translated = connection({
    original: { ...original, destination: service, destinationPort: 443 },
    reply: { ...reply, destination: node, sourcePort: 8443 },
  });
  expect(seenConnection(translated)).toEqual({
    source: client,
    destination: backend,
    protocol: 6,
    port: 8443,
    service: { address: service, port: 443 },
  });
  const ends = { source: client, destination: backend, protocol: 1 };
  const ping = connection({
    original: { ...ends, icmp: { id: 7, type: 8, code: 0 } },
    reply: { source: backend, destination: client, protocol: 1, icmp: { id: 7, type: 0, code: 0 } },
  });
  expect(seenConnection(ping)).toEqual({ ...ends, icmp: { type: 8, code: 0 } });
});

test("a packet's ends and port, of all protocols with ports; a later fragment has none", () => {
  const header = (protocol: string, fragment = "0000") =>
    golden(`4500 0020 0001 ${fragment} 40 ${protocol} 0000 0a010002 0a010103  9c40 0050 0008 0000`);
  for (const [protocol, number] of Object.entries({ "06": 6, "11": 17, "84": 132, "88": 136 })) {
    expect(seenPacket(header(protocol))).toEqual({
      source: client,
      destination: backend,
      protocol: number,
      port: 80,
    });
  }
  expect(seenPacket(header("11", "0010"))).toEqual({ source: client, destination: backend, protocol: 17 });
  expect(seenPacket(header("2f"))).toEqual({ source: client, destination: backend, protocol: 47 });
  expect(seenPacket(header("11").subarray(0, 21))).toEqual({ source: client, destination: backend, protocol: 17 });
  expect(seenPacket(header("11").subarray(0, 19))).toBeUndefined();
  expect(seenPacket(new Uint8Array(0))).toBeUndefined();
});

test("bytes out of nowhere are no packet, or one, and nothing is thrown", () => {
  const random = seededRandom(Number(process.env.TWILL_SEED ?? 1));
  for (let round = 0; round < 5000; round++) {
    const bytes = random.bytes(random.below(128));
    if (bytes.length > 0 && round % 2 === 0) bytes[0] = round % 4 === 0 ? 0x45 : 0x60;
    seenPacket(bytes);
  }
});

test("how long a connection was idle when it ended", () => {
  const timeouts = new Map([
    ["tcp_timeout_time_wait", 120],
    ["udp_timeout", 30],
    ["udp_timeout_stream", 120],
  ]);
  const udp = { ...connection().original, protocol: 17 };
  expect(idleSeconds(connection({ state: 7 }), timeouts)).toBe(120);
  expect(idleSeconds(connection({ state: 7, timeout: 50 }), timeouts)).toBe(70);
  expect(idleSeconds(connection({ original: udp }), timeouts)).toBe(30);
  expect(idleSeconds(connection({ original: udp, status: connectionStatus.assured }), timeouts)).toBe(120);
  expect(idleSeconds(connection({ state: 99 }), timeouts)).toBe(0);
});
