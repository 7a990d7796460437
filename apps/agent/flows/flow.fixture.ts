import { parseAddress } from "../../../src/base/address.ts";
import type { FlowDraft } from "../../../src/insight/flows/aggregate.ts";

/** A denied flow; `n` tells it from others. */
export const someFlow = (n: number, more: Partial<FlowDraft> = {}): FlowDraft => ({
  since: 1_000_000 + n * 1000,
  until: 1_000_000 + n * 1000 + 500,
  verdict: "deny",
  protocol: 6,
  source: {
    kind: "pod",
    address: parseAddress("10.1.0.2"),
    namespace: "shop",
    name: `web-${n % 3}`,
    labels: { app: "web", "pod-template-hash": "5d59d67564" },
    node: "n1",
  },
  destination: {
    kind: "pod",
    address: parseAddress("10.1.0.3"),
    namespace: "shop",
    name: "db-0",
    labels: { app: "db" },
    node: "n1",
  },
  port: 5432,
  ingress: {
    by: "tier",
    tier: "default",
    isolatedBy: [{ kind: "NetworkPolicy", namespace: "shop", name: "default-deny" }],
  },
  count: n,
  ...more,
});
