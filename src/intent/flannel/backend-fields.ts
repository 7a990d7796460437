import { boolean, integer, text } from "../schema.ts";

/** Options of Flannel's backends (its Documentation/backends.md and extension.md), by Backend.Type. */
export const backendFields = {
  vxlan: {
    VNI: integer({ min: 1, max: 0xffffff, absent: 1, meaning: "VXLAN network identifier; also names the device." }),
    Port: integer({ min: 1, max: 65535, absent: 8472, meaning: "UDP port of the encapsulated packets." }),
    GBP: boolean({ absent: false, meaning: "Carry packet marks across nodes (VXLAN Group Based Policy)." }),
    Learning: boolean({
      absent: false,
      meaning: "Let the device learn remote addresses from the packets it receives.",
    }),
    DirectRouting: boolean({
      absent: false,
      meaning: "Route directly between nodes of one underlay subnet; encapsulate only across subnets.",
    }),
    MTU: integer({
      min: 68,
      max: 65535,
      default: "that of the underlay device",
      meaning: "MTU of the underlay to reckon with; at least 1280 with IPv6.",
    }),
    MacPrefix: text({ meaning: "Of Windows nodes, which Twill does not have: without effect." }),
  },
  "host-gw": {},
  alloc: {},
  extension: {
    PreStartupCommand: text({ meaning: "Run by a shell as root before the node leases its subnet." }),
    PostStartupCommand: text({ meaning: "Run by a shell as root after the node leased its subnet." }),
    SubnetAddCommand: text({ meaning: "Run by a shell as root when another node's subnet appears." }),
    SubnetRemoveCommand: text({ meaning: "Run by a shell as root when another node's subnet is gone." }),
  },
};

export type BackendType = keyof typeof backendFields;

export const backendMeaning: Readonly<Record<BackendType, string>> = {
  vxlan: "Packets between nodes travel in VXLAN, in the kernel. Works on any underlay.",
  "host-gw": "Plain routes between nodes. Every node must be in one layer 2 network.",
  alloc: "Subnets are leased, and nothing carries packets between nodes.",
  extension:
    "Commands of the configuration carry the packets. Refused unless the agent runs with `--allow-extension-commands`.",
};

/** Backends of Flannel's that a later version of Twill brings, with their options: what is said of a field depends on them. */
export const laterBackends: Readonly<Record<string, readonly string[]>> = {
  udp: ["Port"],
  ipip: ["DirectRouting"],
  wireguard: ["PSK", "ListenPort", "ListenPortV6", "MTU", "Mode", "PersistentKeepaliveInterval"],
  "aws-vpc": ["RouteTableID"],
};

/** Backends that know an option of that name. */
export function backendsWith(option: string): readonly string[] {
  const lower = option.toLowerCase();
  const now = Object.entries(backendFields).map(([type, fields]) => [type, Object.keys(fields)] as const);
  return [...now, ...Object.entries(laterBackends)]
    .filter(([, options]) => options.some((name) => name.toLowerCase() === lower))
    .map(([type]) => type);
}
