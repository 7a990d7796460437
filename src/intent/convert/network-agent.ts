import { isMapping, listAt, type Path } from "./leaves.ts";
import type { ObjectReader, Rule } from "./ledger.ts";
import { platformOf, platformProblem } from "./pod-placement.ts";
import { agentContainer, foreignContainer, installer } from "./scenery.ts";

/** A DaemonSet with flanneld or calico-node in it. */
export interface Agent {
  readonly object: ObjectReader;
  readonly flanneld: Path | undefined;
  readonly calicoNode: Path | undefined;
  /** Why no Twill runs on its nodes. */
  readonly problem: string | undefined;
}

const podSpec: Path = ["spec", "template", "spec"];

export function containersOf(
  object: ObjectReader,
  list: string,
): readonly { readonly path: Path; readonly value: Readonly<Record<string, unknown>> }[] {
  const path = [...podSpec, list];
  return listAt(object.value, path).flatMap((value, index) =>
    isMapping(value) ? [{ path: [...path, index], value }] : [],
  );
}

export function agentOf(object: ObjectReader): Agent | undefined {
  const containers = containersOf(object, "containers");
  const runs = (program: RegExp, name: string) =>
    containers.find(
      ({ value }) =>
        value.name === name ||
        [...listAt(value, ["command"]), ...listAt(value, ["args"])].some((word) => program.test(String(word))),
    )?.path;
  const flanneld = runs(/(^|[/\s])flanneld(\s|$)/, "kube-flannel");
  const calicoNode = runs(/(^|\/)calico-node$/, "calico-node");
  if (flanneld === undefined && calicoNode === undefined) return undefined;
  return { object, flanneld, calicoNode, problem: platformProblem(platformOf(object)) };
}

const installers = [
  "install-cni",
  "install-cni-plugin",
  "upgrade-ipam",
  "flexvol-driver",
  "mount-bpffs",
  "ebpf-bootstrap",
];

/** What is said of the containers, beside flags and environment of the agents' own. */
export function containerRules({ object, flanneld, calicoNode }: Agent): readonly Rule[] {
  return ["initContainers", "containers"].flatMap((list) =>
    containersOf(object, list).flatMap(({ path, value }) => {
      const prefix = path.join(".");
      if ([flanneld, calicoNode].some((own) => own?.join(".") === prefix)) return agentContainer(prefix);
      return installers.includes(String(value.name)) ? installer(prefix) : foreignContainer(prefix);
    }),
  );
}
