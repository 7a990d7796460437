import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ClusterNodes } from "../../apps/agent/kubernetes/cluster-nodes.ts";
import { KubernetesNode } from "../../apps/agent/kubernetes/kubernetes-node.ts";
import { datastoreKinds } from "../../apps/datastore-kinds.ts";
import { systemClock } from "../../src/base/clock.ts";
import { isCode } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { encodeLease } from "../../src/intent/flannel/lease.ts";
import type { Lease } from "../../src/model/network.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import type { KubernetesClient } from "../../src/store/kubernetes/client.ts";
import { openKubernetesClient } from "../../src/store/kubernetes/datastore.ts";
import type { KubernetesObject } from "../../src/store/kubernetes/object.ts";
import {
  CLUSTER_NETWORK_POLICIES,
  CONFIG_MAPS,
  EVENTS,
  NAMESPACES,
  NETWORK_POLICIES,
  NODES,
  PODS,
  type Resource,
  SECRETS,
} from "../../src/store/kubernetes/resource.ts";
import { lazyDatastore } from "../../src/store/open.ts";
import { type Manifest, ROLES } from "./control-plane.fixture.ts";
import { type Deployed, deployed, podOn, system } from "./deployed.fixture.ts";

setDefaultTimeout(300_000);

/** deploy/'s permissions against a real API server: all that the agent needs, and not one verb beside it. */
const [own, other] = ["rbac-own", "rbac-other"];
const config = "kubernetes:KUBECONFIG?config=twill-system/twill-config";
const CLUSTER_ROLES = { ...ROLES, plural: "clusterroles", kind: "ClusterRole" };

let cluster: Deployed;
let store: Datastore & { engine(): Promise<Datastore> };
let agent: KubernetesClient;
beforeAll(async () => {
  cluster = await deployed();
  await cluster.withoutNodes();
  for (const name of [own, other]) await cluster.node(name, { spec: { podCIDR: "10.244.1.0/24" } });
  await podOn(cluster.api, own, "rbac-pod");
  await cluster.api.create<Manifest>(DEFINITIONS, {}, clusterPolicies).catch(() => {});
  for (let asked = 0; ; asked++) {
    const made = cluster.api.create<Manifest>(
      CLUSTER_NETWORK_POLICIES,
      {},
      {
        ...{ apiVersion: "policy.networking.k8s.io/v1alpha2", kind: "ClusterNetworkPolicy" },
        metadata: { name: "rbac-policy" },
      },
    );
    // Served a moment after it was defined; there, perhaps, from an earlier run.
    const outcome = await made.then(
      () => true,
      (error: unknown) => isCode(error, "exists"),
    );
    if (outcome || asked === 100) break;
    await Bun.sleep(100);
  }
  // One that is not on its host's network, for these are not even sent.
  const watched = { namespace: system, name: "rbac-watched" };
  await cluster.api.create<Manifest>(PODS, watched, {
    ...{ apiVersion: "v1", kind: "Pod", metadata: watched },
    spec: {
      ...{ nodeName: own, terminationGracePeriodSeconds: 0, serviceAccountName: "twill-agent" },
      ...{ automountServiceAccountToken: false, containers: [{ name: "app", image: "app" }] },
    },
  });
  const policy = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", spec: { podSelector: {} } };
  const place = { namespace: "default", name: "rbac-policy" };
  await cluster.api.create<Manifest>(NETWORK_POLICIES, place, { ...policy, metadata: place }).catch(() => {});
  const url = config.replace("KUBECONFIG", await cluster.agentOn(own));
  store = lazyDatastore(url, { kinds: datastoreKinds() });
  agent = openKubernetesClient(await store.engine());
}, 900_000);
afterAll(async () => {
  for (const [resource, place] of [
    [NETWORK_POLICIES, { namespace: "default", name: "rbac-policy" }],
    [CLUSTER_NETWORK_POLICIES, { name: "rbac-policy" }],
  ] as const)
    await cluster.api.delete(resource, place).catch(() => {});
  await store.close();
});

const DEFINITIONS: Resource = {
  ...{ group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions" },
  kind: "CustomResourceDefinition",
};
/** Its name alone matters here, not what is in it. */
const clusterPolicies: Manifest = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: {
    name: "clusternetworkpolicies.policy.networking.k8s.io",
    annotations: { "api-approved.kubernetes.io": "unapproved, for a test" },
  },
  spec: {
    group: "policy.networking.k8s.io",
    scope: "Cluster",
    names: { plural: "clusternetworkpolicies", singular: "clusternetworkpolicy", kind: "ClusterNetworkPolicy" },
    versions: [
      {
        ...{ name: "v1alpha2", served: true, storage: true },
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
};

const lease = (node: string, port: number): Uint8Array => {
  const value = { node, subnets: ["10.244.1.0/24"], addresses: ["10.0.0.1"], backendType: "host-gw", backendData: {} };
  return encodeLease({ ...value, peerPort: port } as unknown as Lease);
};

/** The first event of a watch from now, after `change`. */
async function firstEvent(kind: string, change: () => Promise<unknown>): Promise<void> {
  const { revision } = await store.list(kind);
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), 20_000);
  const watching = (async () => {
    for await (const _ of store.watch(kind, revision, { signal: over.signal })) return;
    throw new Error("the watch told nothing");
  })();
  watching.catch(() => {});
  try {
    await change();
    await watching;
  } finally {
    clearTimeout(timer);
    over.abort();
  }
}

/** To look at one by name, and to follow all. */
const followed = (resource: Resource, name: string, namespace?: string) => ({
  [`get ${resource.plural}`]: () => store.get(resource.plural, namespace === undefined ? name : `${namespace}.${name}`),
  [`list ${resource.plural}`]: () => agent.currentVersion(resource, {}),
  [`watch ${resource.plural}`]: () => firstEvent(resource.plural, () => touch(resource, name, namespace)),
});

const touch = (resource: Resource, name: string, namespace?: string) => {
  const metadata = { annotations: { "flannel.alpha.coreos.com/public-ip": `10.0.0.${2 + (touched++ % 200)}` } };
  return cluster.api.patch(resource, { name, ...(namespace && { namespace }) }, { metadata });
};
let touched = 0;

/** To read and follow the one object of a kind that is a key of a ConfigMap. */
function configMap(name: string, kind: string, object: string): Readonly<Record<string, () => Promise<unknown>>> {
  const selection = { namespace: system, fieldSelector: `metadata.name=${name}` };
  return {
    [`get configmaps/${name}`]: () => store.get(kind, object),
    [`list configmaps/${name}`]: () => agent.currentVersion(CONFIG_MAPS, selection),
    [`watch configmaps/${name}`]: () => firstEvent(kind, () => touch(CONFIG_MAPS, name, system)),
  };
}

/** Everything that an agent asks of the API server, by the verb and resource that it takes. */
const needs: Readonly<Record<string, () => Promise<unknown>>> = {
  "patch nodes/status": async () => {
    const stored = await store.get("nodes", own);
    if (stored === undefined) await store.create("nodes", own, lease(own, 1));
    else await store.update("nodes", own, lease(own, 1 + (touched++ % 60_000)), stored.revision);
  },
  "get nodes": () => store.get("nodes", own),
  // What a watcher asks after a connection on which nothing came.
  "list nodes": () => agent.currentVersion(NODES, {}),
  "watch nodes": () => firstEvent("nodes", () => touch(NODES, own)),
  ...followed(NAMESPACES, system),
  ...followed(PODS, "rbac-watched", system),
  ...followed(NETWORK_POLICIES, "rbac-policy", "default"),
  ...followed(CLUSTER_NETWORK_POLICIES, "rbac-policy"),
  ...configMap("twill-config", "config", "network"),
  ...configMap("twill-switch", "switch", "target"),
  "update configmaps/twill-switch": async () => {
    await cluster.api.patch(CONFIG_MAPS, { name: "twill-switch", namespace: system }, { data: null });
    await store.create("switch", "target", new TextEncoder().encode("{}"));
    // Other files' agents work by it.
    await cluster.api.patch(CONFIG_MAPS, { name: "twill-switch", namespace: system }, { data: null });
  },
  "get secrets/twill-peers": () => store.get("secrets", "peer-key"),
  "update secrets/twill-peers": async () => {
    await cluster.api.patch(SECRETS, { name: "twill-peers", namespace: system }, { data: null });
    await store.create("secrets", "peer-key", new Uint8Array([1]));
  },
  "patch pods/status": () =>
    agent.patch(PODS, { namespace: system, name: "rbac-pod", subresource: "status" }, annotated("10.244.1.2/32")),
  "create events": () => agent.create(EVENTS, { namespace: "default" }, event(own, `rbac-${touched++}`)),
  "patch events": async () => {
    const name = `rbac-${touched++}`;
    await cluster.api.create(EVENTS, { namespace: "default" }, event(own, name));
    await agent.patch(EVENTS, { namespace: "default", name }, { count: 2 });
  },
};

const annotated = (podIPs: string) => ({ metadata: { annotations: { "cni.projectcalico.org/podIPs": podIPs } } });
const event = (node: string, name: string): Manifest => ({
  apiVersion: "v1",
  kind: "Event",
  metadata: { name, namespace: "default" },
  involvedObject: { apiVersion: "v1", kind: "Node", name: node },
  reason: "Test",
  type: "Normal",
  message: "test",
});

/** What the API server denies. Any other failure is thrown. */
async function denied(): Promise<string[]> {
  const refused: string[] = [];
  for (const [need, ask] of Object.entries(needs)) {
    await ask().catch((error: unknown) => {
      if (!isCode(error, "denied")) throw new Error(`${need}: ${error}`, { cause: error });
      refused.push(need);
    });
  }
  return refused;
}

/** Permissions come into force a moment after they were written. */
async function eventually(check: (refused: readonly string[]) => boolean): Promise<readonly string[]> {
  for (const deadline = performance.now() + 60_000; ; await Bun.sleep(100)) {
    const refused = await denied();
    if (check(refused) || performance.now() > deadline) return refused;
  }
}

interface Role extends KubernetesObject {
  readonly rules: readonly {
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

test("each verb of each rule is needed, and what is needed is there", async () => {
  expect(await eventually((refused) => refused.length === 0)).toEqual([]);
  const roles = [
    [CLUSTER_ROLES, { name: "twill-agent" }],
    [ROLES, { name: "twill-agent", namespace: system }],
    [ROLES, { name: "twill-agent", namespace: "default" }],
  ] as const;
  const tried: string[] = [];
  for (const [resource, place] of roles) {
    const { rules } = await cluster.api.get<Role>(resource, place);
    for (const [index, rule] of rules.entries()) {
      for (const verb of rule.verbs) {
        const without = rules.map((each, at) =>
          at === index ? { ...each, verbs: each.verbs.filter((other) => other !== verb) } : each,
        );
        const what = `${verb} ${[...rule.resources, ...(rule.resourceNames ?? [])].join("/")}`;
        await cluster.api.patch(resource, place, { rules: without.filter(({ verbs }) => verbs.length > 0) });
        expect(await eventually((refused) => refused.length > 0), what).toContain(what);
        tried.push(what);
        await cluster.api.patch(resource, place, { rules });
        expect(await eventually((refused) => refused.length === 0), `${what}, given back`).toEqual([]);
      }
    }
  }
  expect(tried.sort()).toEqual(Object.keys(needs).sort());
});

test("the agent writes its own Node, its pods and its events, and no other's", async () => {
  const mine = "twill-agent may write only its own node and the pods on it";
  const refusal = (work: Promise<unknown>) =>
    work.then(
      () => "done",
      (error: Error) => error.message,
    );
  await podOn(cluster.api, other, "rbac-theirs");
  const status = { status: { conditions: [{ type: "NetworkUnavailable", status: "True" }] } };
  const theirs = { name: other, subresource: "status" };
  expect(await refusal(agent.patch(NODES, theirs, status, "strategic"))).toContain(mine);
  expect(await refusal(store.create("nodes", other, lease(other, 1)))).toContain(mine);
  const pod = { namespace: system, name: "rbac-theirs", subresource: "status" };
  expect(await refusal(agent.patch(PODS, pod, annotated("10.244.1.2/32")))).toContain(mine);
  const about = agent.create(EVENTS, { namespace: "default" }, event(other, "rbac-about-others"));
  expect(await refusal(about)).toContain(mine);
  await cluster.api.create(EVENTS, { namespace: "default" }, event(other, "rbac-theirs"));
  const change = agent.patch(EVENTS, { namespace: "default", name: "rbac-theirs" }, { count: 2 });
  expect(await refusal(change)).toContain(mine);

  // Its token is bound to a pod of its node; one that is bound to nothing may write nothing.
  const unbound = cluster.kubectl(["-n", system, "create", "token", "twill-agent"]).stdout.trim();
  const nobody = lazyDatastore(`kubernetes:${cluster.plane.kubeconfig("unbound", { token: unbound })}`, {});
  const client = openKubernetesClient(await nobody.engine());
  expect(await refusal(client.patch(NODES, { name: own, subresource: "status" }, status, "strategic"))).toContain(mine);
  await nobody.close();

  // And by status alone neither the Node's spec nor its labels.
  const spec = { metadata: { labels: { mine: "yes" } }, spec: { unschedulable: true } };
  await agent.patch(NODES, { name: own, subresource: "status" }, spec);
  const node = await cluster.api.get<Manifest>(NODES, { name: own });
  expect(node.spec).not.toHaveProperty("unschedulable");
});

test("configuration is for people to write", async () => {
  const place = { namespace: system, name: "twill-config" };
  for (const name of ["twill-config", "twill-environment", "new"]) {
    const attempt = agent.patch(CONFIG_MAPS, { ...place, name }, { data: { "net-conf.json": "{}" } });
    expect(await attempt.catch((error: unknown) => isCode(error, "denied"))).toBe(true);
  }
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "new", namespace: system } };
  expect(await agent.create(SECRETS, place, secret).catch((error: unknown) => isCode(error, "denied"))).toBe(true);
});

test("as the agent does it: condition, event and a pod's address, by these permissions", async () => {
  const nodes = new ClusterNodes(own);
  const url = config.replace("KUBECONFIG", await cluster.agentOn(own));
  const observed = lazyDatastore(url, { kinds: datastoreKinds(nodes) });
  const kubernetes = new KubernetesNode({
    nodes,
    store: observed,
    clock: systemClock,
    log: silentLog,
    onChange: () => {},
  });
  try {
    await observed.list("nodes");
    const problem = { severity: "error", subject: own, reason: "Test", message: "bad", remedy: "mend it" } as const;
    const subnets = ["10.244.1.0/24"];
    kubernetes.update({ waitingFor: [], problems: [problem], subnets, backend: "vxlan" });
    const pod = await podOn(cluster.api, own, "rbac-named");
    const named = { podName: "rbac-named", podNamespace: system, podUid: pod.metadata.uid ?? "" };
    const key = { network: "twill", containerId: "c1", ifname: "eth0" };
    kubernetes.pods.added(key, named, ["10.244.1.9"] as never);
    // A StatefulSet's next pod of that name is another pod.
    const before = await podOn(cluster.api, own, "rbac-0");
    await podOn(cluster.api, own, "rbac-0");
    const old = { podName: "rbac-0", podNamespace: system, podUid: before.metadata.uid ?? "" };
    kubernetes.pods.added({ ...key, containerId: "c2" }, old, ["10.244.1.10"] as never);

    const described = () => cluster.kubectl(["describe", "node", own]).stdout;
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; await Bun.sleep(500)) {
      if (/Warning +Test/.test(described()) && kubernetes.pods.waiting === 0) break;
    }
    expect(described()).toMatch(
      /NetworkUnavailable +False .*TwillIsUp +pods get addresses of 10.244.1.0\/24, backend vxlan/,
    );
    expect(described()).toMatch(/Warning +Test .*twill-agent +bad \(mend it\)/);
    expect(kubernetes.pods.counters).toMatchObject({ published: 1, dropped: 1 });
    const annotations = async (name: string) =>
      (await cluster.api.get(PODS, { namespace: system, name })).metadata.annotations;
    expect((await annotations("rbac-named"))?.["cni.projectcalico.org/podIPs"]).toBe("10.244.1.9/32");
    expect(await annotations("rbac-0")).toBeUndefined();
  } finally {
    kubernetes.stop();
    await observed.close();
  }
});
