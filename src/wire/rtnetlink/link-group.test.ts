import { expect, test } from "bun:test";
import { encodeGroupDeletion, encodeLinkGroup } from "./link-group.ts";

test("golden bytes: a link joins a group, a group is deleted", () => {
  // struct ifinfomsg: family, padding, type, index 7, flags, change; then IFLA_GROUP (27), 8 bytes.
  expect(encodeLinkGroup(7, 0x01020304).toHex()).toBe("00000000070000000000000000000000" + "08001b0004030201");
  expect(encodeGroupDeletion(0x01020304).toHex()).toBe("00000000000000000000000000000000" + "08001b0004030201");
});
