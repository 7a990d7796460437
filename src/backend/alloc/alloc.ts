import type { AllocConfig } from "../../model/network.ts";
import { type Backend, emptyPeerPlan } from "../backend.ts";

/** Only claims the subnet: something else (a cloud's route table, a routing daemon) carries the packets. */
export const alloc: Backend<AllocConfig> = {
  type: "alloc",

  macsFor: () => [],

  advertise: () => ({ backendType: "alloc", backendData: {} }),

  plan: (_config, _network, local) => ({ tunnels: [], problems: [], podMtu: local.underlay.mtu }),

  peerPlanner: () => () => emptyPeerPlan,
};
