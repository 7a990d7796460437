import { TwillError } from "../../src/base/errors.ts";
import type { WrittenObject } from "../../src/intent/kubernetes/manifest.ts";
import { type PolicyModel, policyName } from "../../src/model/policy.ts";
import { needStoredKind } from "./stored-objects.ts";

/** The model as it would be with these objects applied and those deleted. @throws TwillError `not-found` for what is not there to delete. */
export function changedModel(
  model: PolicyModel,
  objects: readonly WrittenObject[],
  deleted: readonly string[],
  namespace: string,
): PolicyModel {
  const namespaces = new Map(model.namespaces);
  const endpoints = new Map(model.endpoints);
  const policies = new Map(model.policies);
  for (const text of deleted) {
    const [word = "", ...parts] = text.split("/");
    const { api } = needStoredKind(word, []);
    const name = parts.at(-1) ?? "";
    const space = parts.length > 1 ? (parts[0] ?? namespace) : namespace;
    const gone =
      api === "Namespace"
        ? namespaces.delete(name)
        : api === "Pod"
          ? endpoints.delete(`${space}/${name}`)
          : policies.delete(policyName({ kind: api, name, ...(api === "NetworkPolicy" && { namespace: space }) }));
    if (!gone) {
      throw new TwillError("not-found", `there is no ${text}`, {
        operation: "diff --delete",
        remedy: "write KIND/NAMESPACE/NAME; twill get policies lists them",
      });
    }
    if (api !== "Namespace") continue;
    // Its policies and pods go with it.
    for (const [key, { id }] of policies) if (id.namespace === name) policies.delete(key);
    for (const [key, pod] of endpoints) if (pod.namespace === name) endpoints.delete(key);
  }
  for (const { read } of objects) {
    if ("policy" in read) policies.set(policyName(read.policy.id), read.policy);
    else if (read.kind === "Namespace") namespaces.set(read.namespace.name, read.namespace);
    else if (read.kind === "Pod" && read.endpoint !== undefined) {
      const { endpoint } = read;
      const name = `${endpoint.namespace}/${endpoint.pod}`;
      // A file says what the pod is, not where: it stays at its addresses.
      const known = endpoints.get(name);
      const { node = known?.node } = endpoint;
      endpoints.set(name, {
        ...endpoint,
        addresses: endpoint.addresses.length > 0 ? endpoint.addresses : (known?.addresses ?? []),
        ...(node !== undefined && { node }),
      });
    }
  }
  return { ...model, namespaces, endpoints, policies };
}
