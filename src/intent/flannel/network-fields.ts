import { parseAddress } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { parseStrictPrefix } from "../../base/prefix.ts";
import { anything, boolean, integer, list, text } from "../schema.ts";

/** The fields of Flannel's net-conf.json, as its Documentation/configuration.md has them. */
export const networkFields = {
  EnableIPv4: boolean({
    absent: true,
    meaning: "Give pods IPv4 addresses. When false, the IPv4 fields are left aside.",
  }),
  EnableIPv6: boolean({
    absent: false,
    meaning: "Give pods IPv6 addresses. When false, the IPv6 fields are left aside.",
  }),
  EnableNFTables: boolean({
    absent: false,
    meaning: "Kept, and without effect: Twill always uses nftables.",
  }),
  Network: text({
    type: "IPv4 network",
    range: "/28 or wider",
    default: "required unless `EnableIPv4` is false",
    meaning: "The pods' network of the whole cluster.",
    parse: parseStrictPrefix,
  }),
  SubnetLen: integer({
    min: 2,
    max: 30,
    default: "24 if `Network` is /22 or wider, else its length + 2",
    meaning: "Prefix length of each node's subnet, at least 2 longer than `Network`'s.",
  }),
  SubnetMin: text({
    type: "IPv4 address",
    range: "start of a subnet in `Network`",
    default: "second subnet of `Network`",
    meaning: "First subnet that nodes may lease. Name the first of `Network` to use that one, too.",
    parse: parseSubnetStart,
  }),
  SubnetMax: text({
    type: "IPv4 address",
    range: "start of a subnet in `Network`",
    default: "last subnet of `Network`",
    meaning: "Last subnet that nodes may lease.",
    parse: parseSubnetStart,
  }),
  IPv6Network: text({
    type: "IPv6 network",
    range: "/124 or wider",
    default: "required if `EnableIPv6` is true",
    meaning: "The pods' IPv6 network of the whole cluster.",
    parse: parseStrictPrefix,
  }),
  IPv6SubnetLen: integer({
    min: 2,
    max: 126,
    default: "64 if `IPv6Network` is /62 or wider, else its length + 2",
    meaning: "Prefix length of each node's IPv6 subnet, at least 2 longer than `IPv6Network`'s.",
  }),
  IPv6SubnetMin: text({
    type: "IPv6 address",
    range: "start of a subnet in `IPv6Network`",
    default: "second subnet of `IPv6Network`",
    meaning: "First IPv6 subnet that nodes may lease.",
    parse: parseSubnetStart,
  }),
  IPv6SubnetMax: text({
    type: "IPv6 address",
    range: "start of a subnet in `IPv6Network`",
    default: "last subnet of `IPv6Network`",
    meaning: "Last IPv6 subnet that nodes may lease.",
    parse: parseSubnetStart,
  }),
  MoreNetworks: list({
    of: anything({ type: "object" }),
    max: 16,
    default: "none",
    meaning:
      "Twill's own (flanneld leaves it aside): further ranges, used when `Network` is full, and retired ones. See [growing the network](backends.md#growing-the-network).",
  }),
  Backend: anything({
    type: "object",
    default: '`{"Type": "vxlan"}`',
    meaning: "How packets cross nodes, see below.",
  }),
};

/** Of each of MoreNetworks; what they mean is what they mean outside. */
export const furtherFields = {
  Network: text({ type: "network", range: "of either family", meaning: "The range.", parse: parseStrictPrefix }),
  SubnetLen: integer({ min: 2, max: 126, meaning: "Prefix length of each node's subnet." }),
  SubnetMin: text({ meaning: "First subnet that nodes may lease.", parse: parseSubnetStart }),
  SubnetMax: text({ meaning: "Last subnet that nodes may lease.", parse: parseSubnetStart }),
  Retired: boolean({ absent: false, meaning: "No node leases a subnet of it any more." }),
};

function parseSubnetStart(written: string) {
  if (written.includes("/")) {
    throw new TwillError("invalid", `"${written}" has a mask`, { remedy: `write ${written.split("/", 1)[0]}` });
  }
  return parseAddress(written);
}
