import { TwillError } from "../../src/base/errors.ts";
import { placeOf } from "../../src/insight/policy/explain.ts";
import type { LintFinding } from "../../src/insight/policy/lint.ts";
import { decodeLease } from "../../src/intent/flannel/lease.ts";
import { PolicyBook } from "../../src/intent/kubernetes/policy-book.ts";
import { decodeNamespace, decodePolicy } from "../../src/intent/kubernetes/stored-object.ts";
import type { PolicyModel } from "../../src/model/policy.ts";
import type { StoredObject } from "../../src/store/datastore.ts";
import { PolicyNodes } from "../agent/policy/policy-nodes.ts";
import { datastoreKinds } from "../datastore-kinds.ts";
import { CLUSTER_NETWORK_POLICIES, NAMESPACES, NETWORK_POLICIES, NODES, PODS } from "../kinds.ts";
import { openCluster } from "./open-cluster.ts";

export interface ReadModel {
  readonly model: PolicyModel;
  /** What could not be read, for people. Policies among it deny what they select, as agents do that never saw a better version. */
  readonly unreadable: readonly string[];
  /** What their reader warned of. */
  readonly doubtful: readonly LintFinding[];
}

/** The policy model of a cluster as its datastore has it, once. @throws TwillError. */
export async function readPolicyModel(datastore: string): Promise<ReadModel> {
  const book = new PolicyBook();
  const unreadable: string[] = [];
  const nodes = new PolicyNodes({
    node: "",
    ownAddresses: () => [],
    onNode: (name, node) => (node === undefined ? book.deleteNode(name) : book.putNode(node)),
  });
  const store = await openCluster(datastore, { kinds: datastoreKinds(nodes) });
  const each = async (kind: string, read: (object: StoredObject) => void): Promise<void> => {
    for (const object of (await store.list(kind)).objects) {
      try {
        read(object);
      } catch (error) {
        if (!(error instanceof TwillError)) throw error;
        unreadable.push(`${kind} ${object.name}: ${error.describe()}`);
        if (kind === NETWORK_POLICIES) book.noteUnreadable("NetworkPolicy", object.name, error);
        if (kind === CLUSTER_NETWORK_POLICIES) book.noteUnreadable("ClusterNetworkPolicy", object.name, error);
      }
    }
  };
  try {
    await each(NAMESPACES, ({ value, name }) => book.putNamespace(decodeNamespace(value, name)));
    await each(PODS, ({ value, name }) => {
      const { endpoint } = book.decodePod(value, name);
      if (endpoint !== undefined) book.putEndpoint(`${endpoint.namespace}/${endpoint.pod}`, endpoint);
    });
    await each(NETWORK_POLICIES, ({ value, name }) => book.putPolicy(decodePolicy("NetworkPolicy", value, name)));
    await each(CLUSTER_NETWORK_POLICIES, ({ value, name }) =>
      book.putPolicy(decodePolicy("ClusterNetworkPolicy", value, name)),
    );
    await each(NODES, ({ value, name }) => nodes.setLease(name, decodeLease(value, name)));
    const doubtful = book
      .problems()
      .filter(({ severity }) => severity === "warning")
      .map(({ subject, message, remedy }) => doubt(book.model, subject, message, remedy));
    return { model: book.model, unreadable, doubtful };
  } finally {
    await store.close();
  }
}

function doubt(model: PolicyModel, name: string, message: string, remedy: string): LintFinding {
  const policy = model.policies.get(name);
  const place = policy === undefined ? { policy: name, tier: "" } : placeOf(policy);
  return { severity: "warning", check: "doubtful", place, message, remedy };
}
