import type { AllocConfig } from "../../model/network.ts";
import type { Backend } from "../backend.ts";
import { peersFor } from "../peers.ts";

/** Only claims the subnet: something else (a cloud's route table, a routing daemon) carries the packets. */
export const alloc: Backend<AllocConfig> = {
  type: "alloc",

  macsFor: () => [],

  advertise: () => ({ backendType: "alloc", backendData: {} }),

  plan: (_config, _network, local, leases) => ({
    tunnels: [],
    routes: [],
    neighbours: [],
    forwarding: [],
    problems: peersFor("alloc", local, leases).problems,
    podMtu: local.underlay.mtu,
  }),
};
