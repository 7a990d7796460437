import { expect, test } from "bun:test";
import { fromHex, hex } from "../../base/bytes.ts";
import type { NftRule, NftSet } from "../../objects/nft.ts";
import { byteData, concatenated, dataOf, hostData, networkData, portData } from "../../objects/nft-data.ts";
import { decodeChain, newChain } from "./chain.ts";
import { decodeElements, newElements } from "./element.ts";
import { batchBegin, batchEnd } from "./message.ts";
import { decodeRule, newRule } from "./rule.ts";
import { decodeSet, newSet } from "./set.ts";

/**
 * What nft 1.0.6 sends (strace -e write=3), message by message without the 16 bytes of netlink's header. Ours is the same
 * to the byte, except where said.
 */
const inet = { family: "inet", table: "t" } as const;

test("batch", () => {
  // AF_UNSPEC, version 0, resource id: subsystem 10
  expect(hex(batchBegin().payload)).toBe("0000000a");
  expect(batchBegin().type).toBe(0x10);
  // the same, then NFNL_BATCH_GENID (1), u32
  expect(hex(batchBegin(7).payload)).toBe("0000000a0800010000000007");
  expect(batchEnd(0)).toEqual({ type: 0x11, flags: 0, payload: fromHex("0000000a") });
});

test("rule: ip saddr 10.244.0.0/16 masquerade fully-random comment x", () => {
  const bytes = `
    01 00 0000                            family inet, version 0, resource id 0
    0600 0100 74000000                    TABLE "t"
    0600 0200 70000000                    CHAIN "p"
    d000 0480                             EXPRESSIONS, nested
      2400 0180                             element
        0900 0100 6d65746100000000            NAME "meta"
        1400 0280                             DATA
          0800 0200 0000000f                    KEY nfproto
          0800 0100 00000001                    DREG 1
      2c00 0180
        0800 0100 636d7000                    NAME "cmp"
        2000 0280
          0800 0100 00000001                    SREG 1
          0800 0200 00000000                    OP eq
          0c00 0380 0500 0100 02000000          DATA: VALUE 02, NFPROTO_IPV4
      3400 0180
        0c00 0100 7061796c6f616400            NAME "payload"
        2400 0280
          0800 0100 00000001                    DREG 1
          0800 0200 00000001                    BASE network header
          0800 0300 0000000c                    OFFSET 12: source address
          0800 0400 00000002                    LEN 2: a /16
      2c00 0180
        0800 0100 636d7000
        2000 0280
          0800 0100 00000001
          0800 0200 00000000
          0c00 0380 0600 0100 0af40000          DATA: VALUE 0af4
      1c00 0180
        0900 0100 6d61737100000000            NAME "masq"
        0c00 0280
          0800 0100 00000010                    FLAGS NF_NAT_RANGE_PROTO_RANDOM_FULLY
    0800 0700 00027800                    USERDATA: comment (0), 2 bytes, "x"`;
  const rule: NftRule = {
    ...inet,
    chain: "p",
    expressions: [
      { type: "meta", key: "nfproto", to: 0 },
      { type: "cmp", from: 0, op: "eq", value: byteData(2) },
      { type: "payload", base: "network", offset: 12, length: 2, to: 0 },
      { type: "cmp", from: 0, op: "eq", value: dataOf(new Uint8Array([10, 244])) },
      { type: "masquerade", flags: ["fully-random"] },
    ],
    comment: "x",
  };
  expect(newRule(rule, { at: "end" })).toMatchObject({ type: 0x0a06, flags: 0xc00 });
  expect(hex(newRule(rule, { at: "end" }).payload)).toBe(hex(golden(bytes)));
  expect(decodeRule(golden(bytes))).toEqual(rule);
});

test("map: type ipv4_addr : mark, size 100, comment a", () => {
  const bytes = `
    01 00 0000
    0600 0100 74000000                    TABLE "t"
    0c00 0200 636c617373657300            NAME "classes"
    0800 0300 00000008                    FLAGS map
    0800 0400 00000007                    KEY_TYPE ipv4_addr
    0800 0500 00000004                    KEY_LEN 4
    0800 0600 00000013                    DATA_TYPE mark
    0800 0700 00000004                    DATA_LEN 4
    0c00 0980 0800 0100 00000064          DESC: SIZE 100
    0800 0a00 00000001                    ID 1
    1400 0d00                             USERDATA
      00 04 02000000                        key byte order: network
      01 04 01000000                        data byte order: host
      07 02 6100                            comment "a"`;
  // nft also writes 06 04 00000000, whether the data are ranges; left out, it reads as no.
  const set: NftSet = {
    ...inet,
    name: "classes",
    key: ["ipv4_addr"],
    keyLength: 4,
    data: { type: "mark", length: 4 },
    size: 100,
    comment: "a",
  };
  expect(hex(newSet(set, 1).payload)).toBe(hex(golden(bytes)));
  expect(decodeSet(golden(bytes))).toEqual(set);
});

test("set of concatenated ranges: type ipv4_addr . inet_service, flags interval", () => {
  const bytes = `
    01 00 0000
    0600 0100 74000000
    0800 0200 70697000                    NAME "pip"
    0800 0300 00000084                    FLAGS interval, concatenation
    0800 0400 000001cd                    KEY_TYPE 7 << 6 | 13
    0800 0500 00000008                    KEY_LEN: each field padded to 4
    2000 0980 1c00 0280                   DESC: CONCAT
      0c00 0180 0800 0100 00000004          FIELD_LEN 4
      0c00 0180 0800 0100 00000002          FIELD_LEN 2
    0800 0a00 00000004                    ID 4
    0a00 0d00 00 04 00000000 0000         USERDATA: key byte order open`;
  const set: NftSet = { ...inet, name: "pip", key: ["ipv4_addr", "inet_service"], keyLength: 8, interval: true };
  expect(hex(newSet(set, 4).payload)).toBe(hex(golden(bytes)));
  expect(decodeSet(golden(bytes))).toEqual(set);
});

test("elements: an address with a mark and a comment; a verdict; a range of a concatenation", () => {
  const marks = `
    01 00 0000
    0600 0100 74000000                    TABLE "t"
    0c00 0200 636c617373657300            SET "classes"
    4400 0380                             ELEMENTS
      1c00 0180
        0c00 0180 0800 0100 0a000001          KEY: VALUE 10.0.0.1
        0c00 0280 0800 0100 07000000          DATA: VALUE 7, host order
      2400 0180
        0c00 0180 0800 0100 0a000002
        0c00 0280 0800 0100 08000000
        0800 0600 00026500                    USERDATA: comment "e"`;
  const classes = [
    { key: networkData(0x0a000001), data: hostData(7) },
    { key: networkData(0x0a000002), data: hostData(8), comment: "e" },
  ];
  expect(sent("classes", classes)).toBe(hex(golden(marks)));
  expect(decodeElements(golden(marks))).toEqual({ set: "classes", elements: classes });

  const verdicts = `
    01 00 0000
    0600 0100 74000000
    0e00 0200 6465636973696f6e73000000
    3400 0380 3000 0180
      1400 0180 1000 0100 07000000 06000000 00500000   KEY: 7 . tcp . 80, each padded
      1800 0280 1400 0280                              DATA: VERDICT
        0800 0100 fffffffd                               CODE -3, jump
        0600 0200 63000000                               CHAIN "c"`;
  const decisions = [
    { key: concatenated(hostData(7), byteData(6), portData(80)), data: { verdict: "jump" as const, chain: "c" } },
  ];
  expect(sent("decisions", decisions)).toBe(hex(golden(verdicts)));
  expect(decodeElements(golden(verdicts)).elements).toEqual(decisions);

  const ranges = `
    01 00 0000
    0600 0100 74000000
    0800 0200 70697000
    2800 0380 2400 0180
      1000 0180 0c00 0100 0a000000 00010000           KEY 10.0.0.0 . 1
      1000 0a80 0c00 0100 0affffff 00500000           KEY_END 10.255.255.255 . 80`;
  const range = [
    {
      key: concatenated(networkData(0x0a000000), portData(1)),
      keyEnd: concatenated(networkData(0x0affffff), portData(80)),
    },
  ];
  expect(sent("pip", range)).toBe(hex(golden(ranges)));
  expect(decodeElements(golden(ranges)).elements).toEqual(range);
});

test("base chain", () => {
  const bytes = `
    01 00 0000
    0600 0100 74000000                    TABLE "t"
    0600 0300 70000000                    NAME "p"
    1400 0480                             HOOK
      0800 0100 00000004                    HOOKNUM postrouting
      0800 0200 ffffffff                    PRIORITY -1
    0800 0500 00000001                    POLICY accept
    0800 0700 6e617400                    TYPE "nat"`;
  const chain = {
    ...inet,
    name: "p",
    base: { type: "nat", hook: "postrouting", priority: -1, policy: "accept" },
  } as const;
  expect(hex(newChain(chain).payload)).toBe(hex(golden(bytes)));
  expect(decodeChain(golden(bytes))).toEqual(chain);
});

/** As nft, which also names the set's number within its own batch (SET_ID, 4): cut out of the capture. */
const sent = (set: string, elements: Parameters<typeof newElements>[1]): string =>
  hex(newElements({ ...inet, set }, elements)[0]?.payload ?? new Uint8Array());

/** The hex at the start of each line; what follows two spaces and a letter is a comment. */
const golden = (text: string): Uint8Array =>
  fromHex(
    text
      .split("\n")
      .map((line) => /^\s*((?:[0-9a-f]{2})+(?: +(?:[0-9a-f]{2})+)*)(?:$|\s{2,}|\s*$)/.exec(line)?.[1] ?? "")
      .join(""),
  );
