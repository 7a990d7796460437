import { expect, test } from "bun:test";
import { fuzz, golden } from "../../../test/support/fuzz.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { AttributeWriter } from "../netlink/attributes.ts";
import { AF_INET } from "./message-types.ts";
import { decodeNetconf } from "./netconf.ts";

/** Captured on Linux 6.18 (ip monitor netconf). */
const ofAll = golden(`
  02 000000                 // netconfmsg: AF_INET, padding
  0800 0100 ffffffff        // NETCONFA_IFINDEX: all
  0800 0200 00000000        // NETCONFA_FORWARDING: off
`);
const ofDevice = golden(`
  02 000000
  0800 0100 03000000        // NETCONFA_IFINDEX: 3
  0800 0300 02000000        // NETCONFA_RP_FILTER: loose
`);

test("whose settings changed", () => {
  expect(decodeNetconf(ofAll)).toBeUndefined();
  expect(decodeNetconf(ofDevice)).toBe(3);
});

test("fuzz: settings", () => {
  fuzz([ofAll, ofDevice], decodeNetconf, (index) => {
    const attributes = new AttributeWriter(new ByteWriter(16).u8(AF_INET).zero(3));
    return attributes.i32(1, index ?? -1).finish();
  });
});
