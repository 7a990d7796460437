import type { BpfProgram } from "../bpf.ts";
import { HEADER_LENGTH } from "../netlink/message.ts";
import { NF_HEADER_LENGTH, NFNL_SUBSYS_CTNETLINK } from "../nft/header.ts";
import { CTA_LABELS, IPCTNL_MSG_CT_NEW } from "./connection.ts";

/** Classic BPF (linux/bpf_common.h): load half, immediate, load ancillary word; jump if equal; return. */
const [LDH_ABS, LD_IMM, LDX_IMM, LD_ABS, JEQ, RET] = [0x28, 0x00, 0x01, 0x20, 0x15, 0x06];
/** linux/filter.h: the offset of the attribute of type X, searched from offset A; 0: none. */
const SKF_AD_NLATTR = 0xffff_f000 + 12;
const typeAt = 4;

/**
 * For a socket that listens to conntrack's events: connections without a label are no one's business of ours, and most of a node's may be
 * such. Their beginnings stay in the kernel; ends are let through, for they carry no label (ctnetlink_conntrack_event, net/netfilter/nf_conntrack_netlink.c).
 */
export const labelledConnections: BpfProgram = [
  // nlmsg_type stands in host order, and BPF loads in network order.
  { code: LDH_ABS, jt: 0, jf: 0, k: typeAt },
  { code: JEQ, jt: 0, jf: 4, k: (IPCTNL_MSG_CT_NEW << 8) | NFNL_SUBSYS_CTNETLINK },
  { code: LD_IMM, jt: 0, jf: 0, k: HEADER_LENGTH + NF_HEADER_LENGTH },
  { code: LDX_IMM, jt: 0, jf: 0, k: CTA_LABELS },
  { code: LD_ABS, jt: 0, jf: 0, k: SKF_AD_NLATTR },
  { code: JEQ, jt: 1, jf: 0, k: 0 },
  { code: RET, jt: 0, jf: 0, k: 0xffff_ffff },
  { code: RET, jt: 0, jf: 0, k: 0 },
];
