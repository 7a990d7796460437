import { protocols } from "../../model/policy.ts";
import type { NftSet, NftTableContent } from "../../objects/nft.ts";
import { hostData, zeroData } from "../../objects/nft-data.ts";
import type { NftExpression } from "../../objects/nft-expression.ts";
import type { NftFeature } from "../../objects/nft-feature.ts";
import type { PolicyOptions } from "./options.ts";
import { is, isByte, loadProtocol, lookup, number } from "./registers.ts";

/** Never there for longer than a transaction. */
const at = { family: "inet", table: "twill-probe" } as const;

const trial = (
  hook: "prerouting" | "forward",
  expressions: readonly NftExpression[],
  sets: NftTableContent["sets"] = [],
): NftTableContent => ({
  table: { family: at.family, name: at.table },
  chains: [{ ...at, name: "trial", base: { type: "filter", hook, priority: 0, policy: "accept" } }],
  rules: [{ ...at, chain: "trial", comment: "trial", expressions }],
  sets,
});

const map = (rest: Partial<NftSet>): NftSet => ({
  ...at,
  name: "map",
  key: ["mark"],
  keyLength: 4,
  data: { type: "mark", length: 4 },
  ...rest,
});

/** What the program of policy needs of the kernel, each alone, so that what is missing can be named. */
export function policyFeatures(options: PolicyOptions): NftFeature[] {
  const counted = map({ data: { type: "verdict" }, counter: true });
  const features: (NftFeature | false)[] = [
    {
      name: "maps of sets that stand for all other keys (catch-all elements)",
      since: "Linux 5.13",
      content: trial(
        "forward",
        [number(0, 0), lookup("map", 0, 0)],
        [{ set: map({}), elements: [{ key: "", data: hostData(0) }] }],
      ),
    },
    {
      name: "counters of map elements",
      since: "Linux 5.7",
      content: trial(
        "forward",
        [number(0, 0), lookup("map", 0, "verdict")],
        [{ set: counted, elements: [{ key: hostData(1), data: { verdict: "return" } }] }],
      ),
    },
    {
      name: "ranges in keys of several fields (pipapo)",
      since: "Linux 5.6",
      content: trial(
        "forward",
        [{ type: "immediate", to: 0, value: zeroData(8) }, lookup("map", 0, 0)],
        [
          {
            set: map({ key: ["mark", "inet_service"], keyLength: 8, interval: true }),
            elements: [{ key: zeroData(8), keyEnd: zeroData(8), data: hostData(0) }],
          },
        ],
      ),
    },
    {
      name: "conntrack labels",
      since: "CONFIG_NF_CONNTRACK_LABELS, module nft_ct",
      content: trial("forward", [
        { type: "immediate", to: 0, value: zeroData(16) },
        { type: "ct.set", key: "label", from: 0 },
      ]),
    },
    options.podInterfaces !== undefined && {
      name: "routing lookups from rules (fib)",
      since: "Linux 4.10, module nft_fib_inet",
      content: trial("prerouting", [{ type: "fib", to: 0, result: "oif", flags: ["saddr", "iif"] }, is(0, 0)]),
    },
    options.log !== undefined && {
      name: "reports of packets to programs (nflog)",
      since: "modules nft_log, nft_limit, nfnetlink_log",
      content: trial("forward", [
        { type: "limit", rate: 1, unit: 1, burst: 1, of: "packets" },
        { type: "log", group: 0 },
      ]),
    },
    options.deny === "reject" && {
      name: "rejections",
      since: "module nft_reject_inet",
      content: trial("forward", [loadProtocol(0), isByte(0, protocols.tcp), { type: "reject", kind: "tcp-reset" }]),
    },
  ];
  return features.filter((feature) => feature !== false);
}
