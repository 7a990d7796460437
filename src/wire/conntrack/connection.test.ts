import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { fromHex, hex } from "../../base/bytes.ts";
import { TwillError } from "../../base/errors.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import type { Connection, ConnectionTuple } from "../../objects/conntrack.ts";
import {
  connectionIdOf,
  connectionMessage,
  decodeConnection,
  deleteConnection,
  dumpConnections,
  encodeConnection,
  setConnectionLabels,
} from "./connection.ts";

const seed = Number(process.env.FUZZ_SEED ?? 1);
const four = parseAddress("127.0.0.1");
const six = parseAddress("::1");

/** Captured with strace from `conntrack -L` (1.4.7) on Linux 6.18. Netlink's header is left out. */
test("golden: an unreplied UDP connection with accounting and timestamp", () => {
  const bytes = `
    02 00 0000                                    AF_INET, version 0, resource id
    3400 0180                                     TUPLE_ORIG
      1400 0180                                     IP
        0800 0100 7f000001                            V4_SRC
        0800 0200 7f000001                            V4_DST
      1c00 0280                                     PROTO
        0500 0100 11000000                            NUM 17
        0600 0200 dfab0000                            SRC_PORT 57259
        0600 0300 00090000                            DST_PORT 9
    3400 0280                                     TUPLE_REPLY
      1400 0180 0800 0100 7f000001 0800 0200 7f000001
      1c00 0280 0500 0100 11000000 0600 0200 00090000 0600 0300 dfab0000
    0800 0300 00000008                            STATUS confirmed
    0800 0800 00000007                            MARK 7
    0800 0c00 28fca0de                            ID
    0800 0b00 00000001                            USE, not read
    0800 0700 0000001d                            TIMEOUT 29 s
    1c00 0980                                     COUNTERS_ORIG
      0c00 0100 0000000000000001                    PACKETS
      0c00 0200 000000000000001e                    BYTES
    1c00 0a80 0c00 0100 0000000000000000 0c00 0200 0000000000000000
    1000 1480                                     TIMESTAMP
      0c00 0100 18ea0f61695b0b26                    START, ns`;
  const ports = { protocol: 17, source: four, destination: four };
  expect(decodeConnection(golden(bytes))).toEqual({
    family: 4,
    original: { ...ports, sourcePort: 57259, destinationPort: 9 },
    reply: { ...ports, sourcePort: 9, destinationPort: 57259 },
    status: 8,
    mark: 7,
    id: 0x28fca0de,
    timeout: 29,
    counters: { original: { packets: 1n, bytes: 30n }, reply: { packets: 0n, bytes: 0n } },
    start: 0x18ea0f61695b0b26n,
  });
});

test("golden: ICMPv6, seen both ways", () => {
  const tuple = (direction: string, type: string) => `
    5400 ${direction}                             TUPLE
      2c00 0180                                     IP
        1400 0300 00000000000000000000000000000001    V6_SRC
        1400 0400 00000000000000000000000000000001    V6_DST
      2400 0280                                     PROTO
        0500 0100 3a000000                            NUM 58
        0600 0700 49540000                            ICMPV6_ID
        0500 0800 ${type}000000                       ICMPV6_TYPE
        0500 0900 00000000                            ICMPV6_CODE`;
  const bytes = `
    0a 00 0000                                    AF_INET6
    ${tuple("0180", "80").trim()}
    ${tuple("0280", "81").trim()}
    0800 0300 0000000a                            STATUS seen reply, confirmed`;
  const ends = { protocol: 58, source: six, destination: six };
  const connection: Connection = {
    family: 6,
    original: { ...ends, icmp: { id: 0x4954, type: 128, code: 0 } },
    reply: { ...ends, icmp: { id: 0x4954, type: 129, code: 0 } },
    status: 10,
  };
  expect(decodeConnection(golden(bytes))).toEqual(connection);
  expect(hex(encodeConnection(connection).payload)).toBe(hex(golden(bytes)));
});

test("requests", () => {
  expect(dumpConnections(6)).toEqual({ type: 0x101, flags: 0, payload: fromHex("0a000000") });
  // MARK (8), MARK_MASK (21)
  expect(hex(dumpConnections(undefined, { value: 1, mask: 255 }).payload)).toBe(
    "00000000" + "0800080000000001" + "08001500000000ff",
  );
  const tuple = { source: four, destination: four, protocol: 6, sourcePort: 1, destinationPort: 2 };
  expect(deleteConnection(tuple, 3, 4)).toMatchObject({ type: 0x102 });
  // ZONE (18) u16, ID (12) u32
  // LABELS (22) and LABELS_MASK (23), 16 bytes each, words as they stand in memory; no bit beyond the mask
  const labelled = setConnectionLabels(tuple, undefined, [1, 0, 0xffff_ffff, 0], [0, 0, 3, 0]);
  expect(labelled).toMatchObject({ type: 0x100, flags: 0 });
  expect(hex(labelled.payload)).toEndWith(
    "14001600" + "00000000000000000300000000000000" + "14001700" + "00000000000000000300000000000000",
  );
  expect(hex(deleteConnection(tuple, 3, 4).payload)).toEndWith("06001200" + "00030000" + "08000c00" + "00000004");
});

test("what a message tells", () => {
  expect(connectionMessage(0x100, 0x600)).toBe("new");
  expect(connectionMessage(0x100, 0)).toBe("update");
  expect(connectionMessage(0x102, 0)).toBe("destroy");
  expect(connectionMessage(0x200, 0x600)).toBeUndefined();
});

function tuple(random: Random, address: typeof four): ConnectionTuple {
  const ends = { source: address, destination: address };
  const protocol = pick(random, [1, 6, 17, 58, 132, 47]);
  if (protocol === 47) return { ...ends, protocol };
  if (protocol === 1 || protocol === 58) {
    return { ...ends, protocol, icmp: { id: random.below(65536), type: random.below(256), code: random.below(256) } };
  }
  return { ...ends, protocol, sourcePort: random.below(65536), destinationPort: random.below(65536) };
}

function connection(random: Random): Connection {
  const maybe = <T extends object>(value: T): T | object => (random.below(2) === 0 ? value : {});
  const u32 = () => random.below(2 ** 32);
  const counters = () => ({ packets: BigInt(u32()), bytes: BigInt(u32()) });
  const family = pick(random, [4, 6] as const);
  const address = family === 4 ? four : six;
  const original = tuple(random, address);
  const stateful = original.protocol === 6 || original.protocol === 132;
  return {
    family,
    original,
    reply: tuple(random, address),
    status: u32(),
    ...maybe({ timeout: u32() }),
    ...maybe({ mark: u32() }),
    ...maybe({ labels: [u32(), u32(), u32(), u32()] }),
    ...maybe({ zone: random.below(65536) }),
    ...maybe({ id: u32() }),
    ...maybe({ counters: { original: counters(), reply: counters() } }),
    ...maybe({ start: BigInt(u32()), ...maybe({ stop: BigInt(u32()) }) }),
    ...(stateful ? maybe({ state: random.below(12) }) : {}),
  };
}

test(`connections survive the way to the bytes and back (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 1000; round++) {
    const value = connection(random);
    const { payload } = encodeConnection(value);
    expect(decodeConnection(payload)).toEqual(value);
    expect(connectionIdOf(payload)).toBe(value.id as number);
  }
});

test(`bytes out of nowhere are refused as corrupt (seed ${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 5000; round++) {
    const bytes = random.below(4) === 0 ? random.bytes(random.below(80)) : encodeConnection(connection(random)).payload;
    for (let flips = random.below(4); flips > 0 && bytes.length > 0; flips--)
      bytes[random.below(bytes.length)] = random.below(256);
    try {
      decodeConnection(bytes);
    } catch (error) {
      if (!(error instanceof TwillError) || error.code !== "corrupt") throw error;
    }
  }
});

/** The hex at the start of each line; what follows two spaces is a comment. */
const golden = (text: string): Uint8Array =>
  fromHex(
    text
      .split("\n")
      .map((line) => /^((?:[0-9a-f]{2})+(?: (?:[0-9a-f]{2})+)*)(?:$|\s{2,})/.exec(line.trim())?.[1] ?? "")
      .join(""),
  );
