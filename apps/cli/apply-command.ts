import { TwillError } from "../../src/base/errors.ts";
import { titleOf } from "../../src/intent/kubernetes/manifest.ts";
import { datastoreKinds } from "../datastore-kinds.ts";
import { defaultDatastore } from "../defaults.ts";
import { boolean, text } from "../flags.ts";
import { command } from "./command.ts";
import { manifestFlags, readGiven } from "./manifest-files.ts";
import { objectWriter } from "./object-writer.ts";
import { openCluster } from "./open-cluster.ts";

export const applyCommand = command({
  name: "apply",
  usage: "-f FILE",
  summary: "Put policies, namespaces and labels of pods in force, from Kubernetes' YAML or JSON",
  help: `
All of it is checked before the first object is written: one mistake, and nothing changes. On Kubernetes this writes through the
API server, as kubectl does; elsewhere into the datastore, where every agent sees it at once.

  twill apply -f policies/
  twill apply -f shop.yaml --dry-run
  kubectl get networkpolicies -A -o yaml | twill apply -f -     # into a lab`,
  flags: {
    ...manifestFlags,
    datastore: text(defaultDatastore, "where the cluster's state lives: embedded:FILE or kubernetes:KUBECONFIG", "URL"),
    dryRun: boolean(false, "check only"),
  },
  run: async ({ rest, flags }, output) => {
    const file = [...flags.file, ...rest];
    if (file.length === 0) throw new TwillError("invalid", "which file?", { remedy: "twill apply -f FILE" });
    const objects = readGiven({ ...flags, file }, output);
    if (flags.dryRun) {
      for (const object of objects) output.out(`${titleOf(object)} is right (nothing was written)\n`);
      return 0;
    }
    const store = await openCluster(flags.datastore, { kinds: datastoreKinds() });
    try {
      const writer = objectWriter(store);
      for (const { kind, stored, value } of objects) writer.check(kind, stored, value);
      // Namespaces first: an API server takes nothing into one that is not there.
      const [namespaces, others] = [true, false].map((is) =>
        objects.filter(({ kind }) => (kind === "Namespace") === is),
      );
      for (const some of [...chunks(namespaces ?? []), ...chunks(others ?? [])]) {
        const written = some.map((object) => writer.apply(object.kind, object.stored, object.value));
        for (const [index, object] of some.entries()) output.out(`${titleOf(object)} ${await written[index]}\n`);
      }
      return 0;
    } finally {
      await store.close();
    }
  },
});

/** What is asked for at once shares a wait for the disk, or for the server. */
const AT_ONCE = 64;

const chunks = <T>(items: readonly T[]): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / AT_ONCE) }, (_, at) => items.slice(at * AT_ONCE, (at + 1) * AT_ONCE));
