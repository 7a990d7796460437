import { ByteWriter } from "../../base/bytes.ts";
import { AttributeWriter } from "../netlink/attributes.ts";
import { AF_UNSPEC } from "./message-types.ts";

/** Groups of links (ip-link(8), "group"): struct ifinfomsg and IFLA_GROUP, include/uapi/linux/if_link.h. */
const IFLA_GROUP = 27;

/** RTM_SETLINK: the link belongs to this group from now on. */
export const encodeLinkGroup = (index: number, group: number): Uint8Array => message(index, group);

/** RTM_DELLINK: all links of this group, in one step (rtnl_group_dellink, net/core/rtnetlink.c). 0 is refused. */
export const encodeGroupDeletion = (group: number): Uint8Array => message(0, group);

function message(index: number, group: number): Uint8Array {
  const header = new ByteWriter(24).u8(AF_UNSPEC).u8(0).u16(0).i32(index).u32(0).u32(0);
  return new AttributeWriter(header).u32(IFLA_GROUP, group).finish();
}
