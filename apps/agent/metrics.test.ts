import { expect, test } from "bun:test";
import { byLabel, formatMetrics, gauge } from "./metrics.ts";

test("Prometheus text, with labels escaped", () => {
  const text = formatMetrics([
    gauge("twill_ready", "1 when pods can be added", 1),
    byLabel("counter", "twill_writes_total", "Netlink writes", "op", { 'route."add"\n': 2 }),
  ]);
  expect(text).toBe(`# HELP twill_ready 1 when pods can be added
# TYPE twill_ready gauge
twill_ready 1
# HELP twill_writes_total Netlink writes
# TYPE twill_writes_total counter
twill_writes_total{op="route.\\"add\\"\\n"} 2
`);
});
