import type { EndpointName, Labels, PolicyModel } from "../../model/policy.ts";

/** Pods of one namespace with the same labels, as their owner made them: what people call one thing. */
export interface Workload {
  readonly namespace: string;
  /** "web" of web-7d9f-x2x4p and web-7d9f-9m2bq; a pod alone has its own name. */
  readonly name: string;
  readonly members: readonly EndpointName[];
}

/** Labels that controllers add, different for each pod or each version of its template. */
const generated = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "pod-template-generation",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "batch.kubernetes.io/job-completion-index",
  "batch.kubernetes.io/controller-uid",
  "batch.kubernetes.io/job-name",
  "controller-uid",
  "job-name",
]);

/** Those that stay when a pod is made anew. */
export const stableLabels = (labels: Labels): Labels =>
  Object.fromEntries(
    Object.entries(labels)
      .filter(([key]) => !generated.has(key))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

/** Pods without labels are each for themselves. */
export function workloadsOf({ endpoints }: PolicyModel): readonly Workload[] {
  const groups = Map.groupBy(endpoints, ([name, { namespace, labels }]) => {
    const stable = stableLabels(labels);
    return Object.keys(stable).length === 0 ? name : `${namespace} ${JSON.stringify(stable)}`;
  });
  const found = [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const [, { namespace, labels }] = first;
    const members = group.map(([name]) => name);
    const name = stemOf(group.map(([, { pod }]) => pod));
    return [
      { namespace, name: name === "" ? labelText(stableLabels(labels)) : name, members, labels: stableLabels(labels) },
    ];
  });
  const sameName = Map.groupBy(found, ({ namespace, name }) => `${namespace}/${name}`);
  return found.map(({ labels, ...workload }) => {
    const alone = sameName.get(`${workload.namespace}/${workload.name}`)?.length === 1;
    return alone ? workload : { ...workload, name: `${workload.name} (${labelText(labels)})` };
  });
}

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");

/** What the names begin with, up to a dash; "" for names that have nothing in common. */
export function stemOf(names: readonly string[]): string {
  const [first = "", ...others] = names;
  if (others.length === 0) return first;
  let length = first.length;
  for (const name of others) {
    let same = 0;
    while (same < length && name[same] === first[same]) same++;
    length = same;
  }
  const common = first.slice(0, length);
  const dash = common.lastIndexOf("-");
  // Behind the dash is what replica and template are called: "web-7d9f-" or "web-".
  const whole = names.every((name) => name.length === length || name[length] === "-");
  const stem = whole ? common : dash < 0 ? "" : common.slice(0, dash);
  return stem.replace(/-$/, "").replace(/-[0-9a-f]{8,10}$/, "");
}
