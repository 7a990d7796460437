import { beforeAll, expect, test } from "bun:test";
import { golden } from "../../../test/support/fuzz.ts";
import { parseAddress } from "../../base/address.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { parseMac } from "../../base/mac.ts";
import { seededRandom } from "../../base/random.ts";
import { describeDatagram } from "../netlink/describe.ts";
import { encodeMessage, type NetlinkRequest, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP } from "../netlink/message.ts";
import { registerRtnetlinkFormats } from "./describe.ts";
import { encodeLinkQuery, encodeLinkSpec } from "./link.ts";
import { RTM_GETLINK, RTM_NEWLINK, RTM_NEWNEIGH } from "./message-types.ts";
import { encodeNeighbour } from "./neighbour.ts";

const NETLINK_ROUTE = 0;
beforeAll(registerRtnetlinkFormats);

const words = (direction: "in" | "out", datagram: Uint8Array) =>
  describeDatagram(direction, NETLINK_ROUTE, datagram, { errnoName: (errno) => `E${errno}` });

function sent(request: NetlinkRequest): string[] {
  const writer = new ByteWriter();
  encodeMessage(writer, { ...request, sequence: 7, port: 0 });
  return words("out", writer.bytes());
}

test("requests read as one line of words", () => {
  const payload = encodeLinkSpec({
    name: "twl0",
    kind: { type: "veth" },
    mtu: 1400,
    up: true,
    peer: { name: "eth0", netns: 9 },
  });
  expect(sent({ type: RTM_NEWLINK, flags: NLM_F_ACK | NLM_F_CREATE, payload })).toEqual([
    '→ route #7 RTM_NEWLINK ack create: index 0 flags up (of up); ifname "twl0", mtu 1400, ' +
      'linkinfo {kind "veth", data {peer {index 0 flags 0; ifname "eth0", netns-fd 9}}}',
  ]);
  const neighbour = {
    device: 4,
    address: parseAddress("10.244.1.0"),
    mac: parseMac("0e:00:00:00:00:02"),
    state: "permanent",
  } as const;
  expect(sent({ type: RTM_NEWNEIGH, flags: NLM_F_ACK, payload: encodeNeighbour(neighbour) })).toEqual([
    "→ route #7 RTM_NEWNEIGH ack: inet dev 4 state permanent flags 0x0; dst 10.244.1.0, lladdr 0e:00:00:00:00:02",
  ]);
  expect(sent({ type: RTM_GETLINK, flags: NLM_F_DUMP, payload: encodeLinkQuery({}) })).toEqual([
    "→ route #7 RTM_GETLINK dump: index 0 flags 0",
  ]);
});

test("refusals carry the kernel's words", () => {
  const refusal = golden(`
    44000000 0200 0003 10000000 42310000 // NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, seq 16
    9bffffff 34000000 1800 0506 10000000 00000000 // -101, the request's header
    2000 0100 4e657874686f702068617320696e76616c6964206761746577617900 // NLMSGERR_ATTR_MSG
  `);
  expect(words("in", refusal)).toEqual(['← route #16 error E101 "Nexthop has invalid gateway"']);
});

test("unknown types, cut attributes and nonsense are shown, not thrown", () => {
  expect(sent({ type: 999, flags: 0, payload: Uint8Array.of(1, 2, 3) })).toEqual(["→ route #7 type 999: 010203"]);
  const cut = encodeLinkSpec({ name: "twl0", kind: { type: "bridge" } }).slice(0, 20);
  expect(sent({ type: RTM_NEWLINK, flags: 0, payload: cut })[0]).toContain("an attribute of 9 bytes");
  expect(words("in", golden("05000000 0000 0000"))[0]).toContain("unreadable");
  const random = seededRandom(5);
  for (let round = 0; round < 2000; round++) words("in", random.bytes(random.below(120)));
});
