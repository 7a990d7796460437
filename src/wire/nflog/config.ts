import { ByteWriter } from "../../base/bytes.ts";
import { type NetlinkRequest, NLM_F_ACK } from "../netlink/message.ts";
import { NFNL_SUBSYS_ULOG, nfRequest } from "../nft/header.ts";

/** linux/netfilter/nfnetlink_log.h: enum nfulnl_msg_types, nfulnl_attr_config, nfulnl_msg_config_cmds. */
const NFULNL_MSG_CONFIG = 1;
const NFULA_CFG_CMD = 1;
const NFULA_CFG_MODE = 2;
const NFULA_CFG_NLBUFSIZ = 3;
const NFULA_CFG_TIMEOUT = 4;
const NFULA_CFG_QTHRESH = 5;
const NFULA_CFG_FLAGS = 6;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NFULNL_CFG_F_SEQ = 1;

export interface LogGroupSettings {
  /** 0 to 65,535. */
  readonly group: number;
  /** Bytes of each packet, from its network header. A rule's own snaplen may cut shorter. */
  readonly copyRange: number;
  /** Packets that are gathered into one datagram; a rule's own queue-threshold may be lower. */
  readonly queueThreshold: number;
  /** Hundredths of a second after which an unfinished datagram is sent all the same. */
  readonly timeout: number;
  /** Bytes of a datagram, at most 131,072 (NFULNL_NLBUFSIZ_MAX). */
  readonly bufferSize: number;
}

/**
 * Makes the sending socket the group's listener, with its settings and numbered packets, in one message. A group has one listener in a
 * namespace: others get EPERM. It ends with the socket.
 */
export const bindLogGroup = (settings: LogGroupSettings): NetlinkRequest =>
  nfRequest(
    NFNL_SUBSYS_ULOG,
    NFULNL_MSG_CONFIG,
    0,
    NLM_F_ACK,
    (attributes) => {
      attributes
        .u8(NFULA_CFG_CMD, NFULNL_CFG_CMD_BIND)
        // struct nfulnl_msg_config_mode: copy_range (be32), copy_mode (u8), padding, packed.
        .raw(NFULA_CFG_MODE, new ByteWriter(6).u32be(settings.copyRange).u8(NFULNL_COPY_PACKET).u8(0).bytes())
        .u32be(NFULA_CFG_NLBUFSIZ, settings.bufferSize)
        .u32be(NFULA_CFG_TIMEOUT, settings.timeout)
        .u32be(NFULA_CFG_QTHRESH, settings.queueThreshold)
        .u16be(NFULA_CFG_FLAGS, NFULNL_CFG_F_SEQ);
    },
    settings.group,
  );
