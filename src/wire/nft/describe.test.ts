import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { hostData, networkData } from "../../objects/nft-data.ts";
import { deleteConnection } from "../conntrack/connection.ts";
import { describeDatagram } from "../netlink/describe.ts";
import { encodeMessage, type NetlinkRequest } from "../netlink/message.ts";
import { newChain } from "./chain.ts";
import { registerNetfilterFormats } from "./describe.ts";
import { newElements } from "./element.ts";
import { batchBegin, batchEnd } from "./message.ts";
import { newRule } from "./rule.ts";

const at = { family: "inet", table: "twill" } as const;

function inWords(...requests: NetlinkRequest[]): string[] {
  registerNetfilterFormats();
  const writer = new ByteWriter();
  for (const [index, request] of requests.entries()) encodeMessage(writer, { ...request, sequence: index, port: 0 });
  return describeDatagram("out", 12, writer.bytes(), { errnoName: String });
}

test("a transaction in words", () => {
  const elements = Array.from({ length: 9 }, (_, index) => ({
    key: networkData(0x0a000000 + index),
    data: hostData(7),
  }));
  expect(
    inWords(
      batchBegin(9),
      newChain({ ...at, name: "c", base: { type: "filter", hook: "forward", priority: -5, policy: "drop" } }),
      newRule(
        {
          ...at,
          chain: "c",
          comment: "why",
          expressions: [
            { type: "payload", base: "network", offset: 12, length: 4, to: 0 },
            { type: "lookup", set: "classes", from: 0, to: 0 },
            { type: "verdict", verdict: { verdict: "jump", chain: "d" } },
          ],
        },
        { at: "end" },
      ),
      ...newElements({ ...at, set: "classes" }, elements),
      batchEnd(0),
    ),
  ).toEqual([
    "→ netfilter #0 NFNL_MSG_BATCH_BEGIN: nf_tables; generation 9",
    '→ netfilter #1 NFT_MSG_NEWCHAIN create: inet; table "twill", chain "c", hook {number 2, priority -5}, policy 0, type "filter"',
    '→ netfilter #2 NFT_MSG_NEWRULE create append: inet; table "twill", chain "c", expressions [payload to 0 base network offset 12 length 4, lookup set classes from 0 to 0, verdict verdict jump d], comment "why"',
    '→ netfilter #3 NFT_MSG_NEWSETELEM create: inet; table "twill", set "classes", elements {0a000000 : 07000000, 0a000001 : 07000000, 0a000002 : 07000000, 0a000003 : 07000000, … (9 elements)}',
    "→ netfilter #4 NFNL_MSG_BATCH_END: nf_tables",
  ]);
});

test("a connection in words", () => {
  const [source, destination] = [parseAddress("10.0.0.1"), parseAddress("10.0.0.2")];
  expect(inWords(deleteConnection({ source, destination, protocol: 6, sourcePort: 1, destinationPort: 2 }))).toEqual([
    "→ netfilter #0 IPCTNL_MSG_CT_DELETE: ipv4; original {addresses {from 10.0.0.1, to 10.0.0.2}, protocol {number 6, from 1, to 2}}",
  ]);
});
