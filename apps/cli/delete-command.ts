import { isCode, TwillError } from "../../src/base/errors.ts";
import { apiKinds, storeName } from "../../src/intent/kubernetes/api-object.ts";
import { titleOf } from "../../src/intent/kubernetes/manifest.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { datastoreKinds } from "../datastore-kinds.ts";
import { defaultDatastore } from "../defaults.ts";
import { boolean, text } from "../flags.ts";
import { command, type Output } from "./command.ts";
import { deleteNode } from "./delete-node.ts";
import { manifestFlags, readGiven } from "./manifest-files.ts";
import { objectWriter } from "./object-writer.ts";
import { openCluster } from "./open-cluster.ts";
import { needStoredKind, storedKinds } from "./stored-objects.ts";

const NODE = "node";
const words = [NODE, ...storedKinds.map(({ words: [first = ""] }) => first)];

export const deleteCommand = command({
  name: "delete",
  usage: "KIND NAME | -f FILE",
  summary: "Delete policies and other objects of the cluster, or forget a node that is gone for good",
  help: `
A node's subnets are free again, and the others drop their routes to it. One that only reboots keeps its subnet and needs nothing;
never do this to a node whose pods still run.

  twill delete networkpolicy default-deny -n shop
  twill delete -f policies/
  twill delete node worker-7`,
  words,
  flags: {
    ...manifestFlags,
    datastore: text(defaultDatastore, "where the cluster's state lives: embedded:FILE or kubernetes:KUBECONFIG", "URL"),
    ignoreNotFound: boolean(false, "succeed when there is no such object"),
  },
  run: async ({ rest, flags }, output) => {
    const [word, ...names] = rest;
    const given = flags.file.length > 0 ? readGiven(flags, output) : [];
    if (given.length === 0 && (word === undefined || names.length === 0)) {
      throw new TwillError("invalid", word === undefined ? "what should be deleted?" : `which ${word}?`, {
        remedy: `twill delete ${word ?? words.join("|")} NAME`,
      });
    }
    const kind = word === undefined || word === NODE ? undefined : needStoredKind(word, [NODE]);
    const store = await openCluster(flags.datastore, { kinds: datastoreKinds() });
    const deletions = [
      ...given.map((object) => ({ title: titleOf(object), kind: object.kind, stored: object.stored })),
      ...names.map((name) => {
        if (kind === undefined) return { title: `node ${name}`, node: name };
        const namespace = apiKinds[kind.api].namespaced ? { namespace: flags.namespace } : {};
        const title = `${kind.api} ${"namespace" in namespace ? `${namespace.namespace}/` : ""}${name}`;
        return { title, kind: kind.api, stored: storeName({ ...namespace, name }) };
      }),
    ];
    try {
      for (const deletion of deletions) await carryOut(store, deletion, flags.ignoreNotFound, output);
      return 0;
    } finally {
      await store.close();
    }
  },
});

type Deletion = { readonly title: string } & (
  | { readonly node: string }
  | { readonly kind: keyof typeof apiKinds; readonly stored: string }
);

async function carryOut(store: Datastore, deletion: Deletion, ignoreNotFound: boolean, output: Output): Promise<void> {
  try {
    if ("node" in deletion) {
      await deleteNode(store, deletion.node, output);
      return;
    }
    await objectWriter(store).delete(deletion.kind, deletion.stored);
    output.out(`${deletion.title} deleted\n`);
  } catch (error) {
    if (!isCode(error, "not-found")) throw error;
    if (ignoreNotFound) return;
    if ("node" in deletion) throw error;
    throw new TwillError("not-found", `there is no ${deletion.title}`, {
      remedy: "twill get policies lists all of them; -n names the namespace",
    });
  }
}
