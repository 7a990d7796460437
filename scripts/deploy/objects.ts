/**
 * The objects that install Twill into a Kubernetes cluster: the one source of deploy/twill.yaml, of the kustomize base and of
 * the Helm chart, so that these cannot differ. What is written here is proved by test/packaging.
 */
import { defaultCniConfDir, defaultRunDir, defaultStateDir, defaultSubnetFile } from "../../apps/defaults.ts";
import { version } from "../build.ts";
import { Note, Parameter, type Yaml } from "./yaml.ts";

export const namespace = "twill-system";
const account = "twill-agent";
const labels = { "app.kubernetes.io/name": "twill", "app.kubernetes.io/component": "agent" };
const configName = "twill-config";
const peersName = "twill-peers";
const switchName = "twill-switch";
const rbac = "rbac.authorization.k8s.io";

type Fields = { readonly [key: string]: Yaml };
export type Manifest = Fields & { readonly apiVersion: string; readonly kind: string };

const metadata = (name: string, more: Fields = {}): Fields => ({ name, namespace, labels, ...more });
const clusterWide = (name: string): Fields => ({ name, labels });

export const image = new Parameter("image", `localhost/twill:${version}`, "The image, with its tag.");

const netConf = new Parameter(
  "netConf",
  `${JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan" } }, null, 2)}\n`,
  "Flannel's net-conf.json. Network must hold every node's podCIDR (kube-controller-manager's --cluster-cidr).",
);
const environment = new Parameter(
  "environment",
  { TWILL_API_SERVER: "" },
  "Any flag of twill-agent as TWILL_<FLAG>. TWILL_API_SERVER: the API server's own address, https://ADDRESS:PORT; empty: its Service.",
);
const tolerations = new Parameter(
  "tolerations",
  [{ operator: "Exists" }],
  "A node without a network is tainted, so the agent must tolerate what it is to mend.",
);
const maxUnavailable = new Parameter(
  "maxUnavailable",
  "10%",
  "Nodes updated at a time. An agent that is away disturbs no packet; only new pods wait.",
);
const resources = new Parameter(
  "resources",
  { requests: { cpu: "25m", memory: "100Mi" } },
  "Measured, see docs/packaging.md. No limits: a node without its agent cannot start pods.",
);

export function objects(): readonly Manifest[] {
  return [...namespaceObjects, ...accessObjects, ...admissionObjects, ...configurationObjects, daemonSet()];
}

const namespaceObjects: readonly Manifest[] = [
  {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name: namespace,
      labels: {
        ...labels,
        "pod-security.kubernetes.io/enforce": new Note(
          "The agent works in the node's network namespace.",
          "privileged",
        ),
      },
    },
  },
];

const role = (kind: "ClusterRole" | "Role", metadata: Fields, rules: Yaml): Manifest => ({
  apiVersion: `${rbac}/v1`,
  kind,
  metadata,
  rules,
});
const binding = (kind: "ClusterRole" | "Role", metadata: Fields): Manifest => ({
  apiVersion: `${rbac}/v1`,
  kind: `${kind}Binding`,
  metadata,
  roleRef: { apiGroup: rbac, kind, name: account },
  subjects: [{ kind: "ServiceAccount", name: account, namespace }],
});
const inDefault = { ...metadata(account), namespace: "default" };

/** test/cluster/rbac.test.ts takes each verb away in turn and sees the agent fail. */
const accessObjects: readonly Manifest[] = [
  { apiVersion: "v1", kind: "ServiceAccount", metadata: metadata(account) },
  role("ClusterRole", clusterWide(account), [
    new Note("Every node's address, podCIDRs and tunnel data, which lie in its annotations.", {
      apiGroups: [""],
      resources: ["nodes"],
      verbs: ["get", "list", "watch"],
    }),
    new Note("The own node's annotations and condition; the admission policy below keeps it to the own node.", {
      apiGroups: [""],
      resources: ["nodes/status"],
      verbs: ["patch"],
    }),
    new Note("A new pod's address, before the kubelet reports it; pods of the own node only, by the same policy.", {
      apiGroups: [""],
      resources: ["pods/status"],
      verbs: ["patch"],
    }),
    new Note("Policies, and whom they select: watched from the first policy on.", {
      apiGroups: [""],
      resources: ["namespaces"],
      verbs: ["get", "list", "watch"],
    }),
    { apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["policy.networking.k8s.io"], resources: ["clusternetworkpolicies"], verbs: ["get", "list", "watch"] },
  ]),
  binding("ClusterRole", clusterWide(account)),
  role("Role", metadata(account), [
    new Note("net-conf.json, to read alone.", {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: [configName],
      verbs: ["get", "list", "watch"],
    }),
    new Note("What the cluster goes to while its configuration changes; agents agree on it by compare-and-swap.", {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: [switchName],
      verbs: ["get", "list", "watch", "update"],
    }),
    new Note("The key by which agents measure each other.", {
      apiGroups: [""],
      resources: ["secrets"],
      resourceNames: [peersName],
      verbs: ["get", "update"],
    }),
  ]),
  binding("Role", metadata(account)),
  role("Role", inDefault, [
    new Note("What a person has to know about a node, as its events: these lie in the namespace default.", {
      apiGroups: [""],
      resources: ["events"],
      verbs: ["create", "patch"],
    }),
  ]),
  binding("Role", inDefault),
];

/** The claim that the API server puts into a token that is bound to a pod (KEP-4193; on by default since 1.30). */
const nodeName = "authentication.kubernetes.io/node-name";
const ownNode = [
  "has(request.userInfo.extra)",
  `'${nodeName}' in request.userInfo.extra`,
  `request.userInfo.extra['${nodeName}'][0] == variables.node`,
].join(" && ");
/** dyn(): the API server would check each against the schemas of the others, too. */
const target = [
  "request.resource.resource == 'pods' ? dyn(object).spec.nodeName",
  "request.resource.resource == 'events' ? dyn(object).involvedObject.name",
  "object.metadata.name",
].join(" : ");

const admissionObjects: readonly Manifest[] = [
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: clusterWide(account),
    spec: {
      failurePolicy: "Fail",
      matchConstraints: {
        resourceRules: [
          {
            apiGroups: [""],
            apiVersions: ["v1"],
            operations: ["CREATE", "UPDATE"],
            resources: ["nodes", "nodes/status", "pods", "pods/status", "events"],
          },
        ],
      },
      matchConditions: [
        {
          name: "by-the-agent",
          expression: `request.userInfo.username == 'system:serviceaccount:${namespace}:${account}'`,
        },
      ],
      variables: [{ name: "node", expression: target }],
      validations: [
        new Note('RBAC cannot say "the own node"; a token that is bound to a pod names its node.', {
          expression: ownNode,
          message: "twill-agent may write only its own node and the pods on it",
        }),
      ],
    },
  },
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: clusterWide(account),
    spec: { policyName: account, validationActions: ["Deny"] },
  },
];

const configurationObjects: readonly Manifest[] = [
  {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: metadata(configName),
    data: {
      "net-conf.json": new Note(
        "Flannel's, unchanged. Network must hold every node's podCIDR. Agents follow a change at once.",
        netConf,
      ),
    },
  },
  {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: metadata("twill-environment"),
    data: new Note(
      'Any flag of twill-agent as TWILL_<FLAG>: "true". TWILL_API_SERVER is the API server\'s own address, as in the\n' +
        "kubelets' kubeconfig: https://10.0.0.1:6443. Empty: by the Service, which then must work without Twill (kube-proxy).\n" +
        "In force after kubectl -n twill-system rollout restart daemonset/twill-agent.",
      environment,
    ),
  },
  // The agents fill both.
  { apiVersion: "v1", kind: "ConfigMap", metadata: metadata(switchName) },
  { apiVersion: "v1", kind: "Secret", metadata: metadata(peersName), type: "Opaque" },
];

/** Directories of the node that the agent writes; `install-cni` has made them, and remembers which were missing. */
const nodeFolders = {
  state: defaultStateDir,
  run: defaultRunDir,
  flannel: defaultSubnetFile.slice(0, defaultSubnetFile.lastIndexOf("/")),
  "cni-conf": defaultCniConfDir,
} as const;
const sysctlDir = "/host/proc/sys/net";

const restricted = (capabilities: Yaml): Yaml => ({
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  runAsUser: 0,
  capabilities: { drop: ["ALL"], add: capabilities },
});

function daemonSet(): Manifest {
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: metadata("twill-agent"),
    spec: {
      selector: { matchLabels: labels },
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable } },
      template: {
        metadata: {
          labels,
          annotations: { "kubectl.kubernetes.io/default-container": "agent" },
        },
        spec: {
          serviceAccountName: account,
          hostNetwork: true,
          dnsPolicy: "Default",
          enableServiceLinks: false,
          priorityClassName: "system-node-critical",
          nodeSelector: { "kubernetes.io/os": "linux" },
          tolerations,
          securityContext: { seccompProfile: { type: "RuntimeDefault" } },
          terminationGracePeriodSeconds: new Note(
            "It stops at once. No preStop: what it made in the kernel stays, and pods keep talking.",
            10,
          ),
          initContainers: [installer()],
          containers: [agent()],
          volumes: volumes(),
        },
      },
    },
  };
}

const installer = (): Yaml => ({
  name: "install-cni",
  image,
  imagePullPolicy: "IfNotPresent",
  command: ["/usr/local/bin/twill", "install-cni", "--host-root=/host"],
  securityContext: restricted([
    new Note(
      "Works inside the host's root directory, so that its symbolic links lead where they lead there.",
      "SYS_CHROOT",
    ),
  ]),
  resources: { requests: { cpu: "25m", memory: "100Mi" } },
  volumeMounts: [{ name: "host-root", mountPath: "/host" }],
});

const agent = (): Yaml => ({
  name: "agent",
  image,
  imagePullPolicy: "IfNotPresent",
  command: ["/usr/local/bin/twill-agent"],
  args: [`--datastore=kubernetes:?config=${namespace}/${configName}`, `--sysctl-dir=${sysctlDir}`],
  env: [{ name: "TWILL_NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } }],
  envFrom: [{ configMapRef: { name: "twill-environment" } }],
  securityContext: restricted([
    new Note("Devices, routes, nf_tables, network settings.", "NET_ADMIN"),
    new Note("setns(2) into the network namespaces of pods.", "SYS_ADMIN"),
    new Note("Probes and captures of twill doctor, trace and capture. Without it only these fail.", "NET_RAW"),
  ]),
  resources,
  startupProbe: new Note("A start on a busy node may take long; until it is through, nothing else judges the agent.", {
    ...probe("/healthz"),
    periodSeconds: 1,
    failureThreshold: 120,
    timeoutSeconds: 5,
  }),
  livenessProbe: { ...probe("/healthz"), periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 5 },
  readinessProbe: { ...probe("/readyz"), periodSeconds: 5, timeoutSeconds: 5 },
  volumeMounts: [
    ...Object.entries(nodeFolders).map(([name, mountPath]) => ({ name, mountPath })),
    new Note("Pods' network namespaces that appear later must show here too.", {
      name: "netns",
      mountPath: "/run/netns",
      mountPropagation: "HostToContainer",
    }),
    { name: "sysctl", mountPath: sysctlDir },
  ],
});

/** On the loopback address, which the kubelet shares with a pod on the node's network. */
const probe = (path: string): Fields => ({ httpGet: { host: "127.0.0.1", port: 9099, path } });

const volumes = (): Yaml => [
  new Note("The installer writes the plugin, folders and daemons' settings of the node, and looks at its libc.", {
    name: "host-root",
    hostPath: { path: "/", type: "Directory" },
  }),
  new Note(
    "Without a type: the kubelet makes no folder, the installer does, and `twill uninstall` knows which were not there.",
    { name: "state", hostPath: { path: nodeFolders.state } },
  ),
  ...(["run", "flannel", "cni-conf"] as const).map((name) => ({ name, hostPath: { path: nodeFolders[name] } })),
  { name: "netns", hostPath: { path: "/run/netns", type: "DirectoryOrCreate" } },
  new Note("A container's own /proc/sys is read-only.", {
    name: "sysctl",
    hostPath: { path: "/proc/sys/net", type: "Directory" },
  }),
];

/** Everything that Helm's users may choose. */
export const parameters: readonly Parameter[] = [image, netConf, environment, resources, tolerations, maxUnavailable];
