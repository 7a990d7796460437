import { familyOf } from "../../src/base/address.ts";
import type { KubernetesObject } from "../oracle/objects.ts";
import { nameOf } from "../oracle/objects.ts";
import type { ConformanceCase, MatrixCell, Place, Step } from "./case.ts";
import type { ConformanceCluster } from "./cluster.ts";
import { type Answer, allPods, type Probe, servedPorts } from "./probe.ts";
import { podLabels, standardNamespaces } from "./standard.ts";
import { type Cell, differences } from "./truth-table.ts";

/** Each pod to each by TCP, UDP and SCTP on 80 and 81; over IPv6, two of these. */
const kinds: readonly Pick<Probe, "protocol" | "port" | "family">[] = [
  ...(["TCP", "UDP", "SCTP"] as const).flatMap((protocol) =>
    servedPorts.map((port) => ({ protocol, port, family: 4 as const })),
  ),
  { protocol: "TCP", port: 80, family: 6 },
  { protocol: "UDP", port: 81, family: 6 },
];

/** All of it; else what does not touch namespace x, of which nearly all cases are, is probed by the first kind only. */
export const whole = process.env.TWILL_CONFORMANCE === "whole";

const matrix: readonly Probe[] = kinds.flatMap((kind, index) =>
  allPods.flatMap((from) =>
    allPods
      .filter((to) => whole || index === 0 || from.startsWith("x/") || to.startsWith("x/"))
      .map((to) => ({ ...kind, from, to })),
  ),
);

/** Runs a case and leaves the cluster as it was. @returns what was not as expected, to be read; undefined: all was. */
export async function runCase(
  cluster: ConformanceCluster,
  { name, steps }: ConformanceCase,
): Promise<string | undefined> {
  const written = new Map<string, KubernetesObject>();
  const relabelled = new Set<string>();
  try {
    for (const [index, step] of steps.entries()) {
      for (const [pod, labels] of Object.entries(step.relabel ?? {})) {
        relabelled.add(pod);
        await cluster.relabel(pod, labels);
      }
      for (const object of step.apply ?? []) written.set(nameOf(object), object);
      for (const object of step.remove ?? []) written.delete(nameOf(object));
      if (step.apply !== undefined) await cluster.apply(step.apply);
      if (step.remove !== undefined) await cluster.remove(step.remove);
      const wrong = await look(cluster, step);
      if (wrong !== undefined) return `${name}, step ${index + 1} of ${steps.length}, on ${cluster.name}\n${wrong}`;
    }
    return undefined;
  } finally {
    await cluster.remove([...written.values()].filter(({ kind }) => kind !== "Namespace"));
    if ([...written.values()].some(({ kind }) => kind === "Namespace")) await cluster.apply(standardNamespaces);
    for (const pod of relabelled) await cluster.relabel(pod, podLabels(placeOf(pod).pod));
  }
}

async function look(cluster: ConformanceCluster, step: Step): Promise<string | undefined> {
  const reached = (step.further ?? []).filter(({ from, to }) => cluster.isReached(from) && cluster.isReached(to));
  const further = new Map(reached.map(({ expected, ...probe }) => [JSON.stringify(probe), expected]));
  const families = new Set(cluster.addressesOf("x/a").map(familyOf));
  const probes: Probe[] = [
    ...matrix.filter(({ family }) => families.has(family)),
    ...[...further.keys()].map((text): Probe => JSON.parse(text)),
  ];
  const expected = (probe: Probe): Answer =>
    further.get(JSON.stringify(probe)) ?? (isAllowed(step, probe) ? "connected" : "timed out");
  for (const until = Date.now() + cluster.settles; ; await Bun.sleep(100)) {
    const observed = await cluster.probe(probes, expected);
    const cells = probes.map(
      (probe, index): Cell => ({ probe, expected: expected(probe), observed: observed[index] ?? "timed out" }),
    );
    const wrong = differences(cells);
    if (wrong === undefined || Date.now() >= until) return wrong;
  }
}

/** "A pod cannot block access to itself." */
const isAllowed = (step: Step, probe: Probe): boolean =>
  probe.from === probe.to ||
  step.allows({ ...probe, source: placeOf(probe.from), destination: placeOf(probe.to) } satisfies MatrixCell);

function placeOf(name: string): Place {
  const [namespace = "", pod = ""] = name.split("/");
  return { namespace, pod };
}
