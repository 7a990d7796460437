/**
 * Manifests of the shape that Flannel, Canal and Calico document, reduced to what matters, made by hand for these tests. Placeholders of
 * the form ‹…› are filled by the variants below.
 */

const cniConf = (plugins: readonly unknown[]): string =>
  JSON.stringify({ name: "cbr0", cniVersion: "0.3.1", plugins }, null, 2);

const flannelPlugin = { type: "flannel", delegate: { hairpinMode: true, isDefaultGateway: true } };
const portmap = { type: "portmap", capabilities: { portMappings: true } };

const indent = (text: string, by: number): string => text.split("\n").join(`\n${" ".repeat(by)}`);

export interface FlannelVariant {
  readonly namespace?: string;
  readonly netConf?: string;
  readonly cniConf?: string;
  /** One DaemonSet each; undefined: one without. */
  readonly architectures?: readonly string[];
  /** Node affinity, as from v0.12, instead of a node selector. */
  readonly affinity?: boolean;
  readonly flags?: readonly string[];
  /** YAML of further variables. */
  readonly env?: string;
  readonly apiVersion?: string;
  /** "command": program and flags in `command`, as v0.9 had them. */
  readonly style?: "args" | "command";
}

export const standardNetConf = '{\n  "Network": "10.244.0.0/16",\n  "Backend": {\n    "Type": "vxlan"\n  }\n}\n';

function daemonSet(arch: string | undefined, variant: FlannelVariant): string {
  const {
    namespace = "kube-system",
    flags = ["--ip-masq", "--kube-subnet-mgr"],
    env = "",
    apiVersion = "apps/v1",
  } = variant;
  const name = arch === undefined ? "kube-flannel-ds" : `kube-flannel-ds-${arch}`;
  const selector =
    arch === undefined
      ? ""
      : variant.affinity === true
        ? `
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  - {key: kubernetes.io/os, operator: In, values: [linux]}
                  - {key: kubernetes.io/arch, operator: In, values: [${arch}]}`
        : `
      nodeSelector:
        beta.kubernetes.io/arch: ${arch}`;
  const quoted = flags.map((flag) => JSON.stringify(flag)).join(", ");
  const words =
    variant.style === "command"
      ? `command: ["/opt/bin/flanneld"${quoted === "" ? "" : `, ${quoted}`}]`
      : `command: [/opt/bin/flanneld]\n          args: [${quoted}]`;
  return `
apiVersion: ${apiVersion}
kind: DaemonSet
metadata:
  name: ${name}
  namespace: ${namespace}
  labels: {tier: node, app: flannel}
spec:
  selector:
    matchLabels: {app: flannel}
  template:
    metadata:
      labels: {tier: node, app: flannel}
    spec:
      hostNetwork: true${selector}
      tolerations:
        - operator: Exists
          effect: NoSchedule
      serviceAccountName: flannel
      initContainers:
        - name: install-cni
          image: flannel:test
          command: [cp]
          args: [-f, /etc/kube-flannel/cni-conf.json, /etc/cni/net.d/10-flannel.conflist]
          volumeMounts:
            - {name: cni, mountPath: /etc/cni/net.d}
      containers:
        - name: kube-flannel
          image: flannel:test
          ${words}
          resources:
            requests: {cpu: 100m, memory: 50Mi}
            limits: {cpu: 100m, memory: 50Mi}
          securityContext:
            privileged: false
            capabilities: {add: [NET_ADMIN]}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: POD_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
${env}
          volumeMounts:
            - {name: run, mountPath: /run/flannel}
      volumes:
        - name: run
          hostPath: {path: /run/flannel}
        - name: flannel-cfg
          configMap: {name: kube-flannel-cfg}
`;
}

export function flannelManifest(variant: FlannelVariant = {}): string {
  const { namespace = "kube-system", netConf = standardNetConf } = variant;
  const rights = `
kind: ClusterRole
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: flannel}
rules:
  - apiGroups: [""]
    resources: [nodes]
    verbs: [list, watch]
---
kind: ClusterRoleBinding
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: flannel}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: flannel}
subjects:
  - {kind: ServiceAccount, name: flannel, namespace: ${namespace}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: flannel, namespace: ${namespace}}
`;
  const config = `
kind: ConfigMap
apiVersion: v1
metadata:
  name: kube-flannel-cfg
  namespace: ${namespace}
  labels: {tier: node, app: flannel}
data:
  cni-conf.json: |
    ${indent(variant.cniConf ?? cniConf([flannelPlugin, portmap]), 4)}
  net-conf.json: |
    ${indent(netConf.trimEnd(), 4)}
`;
  const sets = (variant.architectures ?? [undefined]).map((arch) => daemonSet(arch, variant));
  return ["# made for tests", rights, config, ...sets].join("---");
}

export interface CalicoVariant {
  /** YAML of calico-node's further variables. */
  readonly env?: string;
  readonly backend?: string;
  readonly vethMtu?: string;
}

const calicoCni = (ipam: string): string => `{
      "name": "k8s-pod-network",
      "cniVersion": "0.3.1",
      "plugins": [
        {
          "type": "calico",
          "log_level": "info",
          "datastore_type": "kubernetes",
          "nodename": "__KUBERNETES_NODE_NAME__",
          "mtu": __CNI_MTU__,
          "ipam": ${ipam},
          "policy": {"type": "k8s"},
          "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"}
        },
        {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
        {"type": "bandwidth", "capabilities": {"bandwidth": true}}
      ]
    }`;

const calicoSpec = (account: string): string => `
      nodeSelector: {kubernetes.io/os: linux}
      hostNetwork: true
      tolerations:
        - {effect: NoSchedule, operator: Exists}
        - {key: CriticalAddonsOnly, operator: Exists}
        - {effect: NoExecute, operator: Exists}
      serviceAccountName: ${account}
      terminationGracePeriodSeconds: 0
      priorityClassName: system-node-critical
      initContainers:
        - name: install-cni
          image: cni:test
          command: [/opt/cni/bin/install]
          env:
            - {name: CNI_CONF_NAME, value: 10-calico.conflist}
          securityContext: {privileged: true}`;

const calicoNode = (config: string, backend: string, env: string): string => `
        - name: calico-node
          image: node:test
          envFrom:
            - configMapRef: {name: kubernetes-services-endpoint, optional: true}
          env:
            - {name: DATASTORE_TYPE, value: kubernetes}
            - {name: WAIT_FOR_DATASTORE, value: "true"}
            - name: NODENAME
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
            - name: CALICO_NETWORKING_BACKEND
              ${backend}
            - {name: CLUSTER_TYPE, value: "k8s,${config}"}
            - {name: CALICO_DISABLE_FILE_LOGGING, value: "true"}
            - {name: FELIX_DEFAULTENDPOINTTOHOSTACTION, value: ACCEPT}
            - {name: FELIX_IPV6SUPPORT, value: "false"}
            - {name: FELIX_HEALTHENABLED, value: "true"}
${env}
          securityContext: {privileged: true}
          resources: {requests: {cpu: 250m}}
          livenessProbe:
            exec: {command: [/bin/calico-node, -felix-live]}
            periodSeconds: 10`;

export function calicoManifest(variant: CalicoVariant = {}): string {
  const { vethMtu = "0", backend = "bird" } = variant;
  const env =
    variant.env ??
    `            - {name: IP, value: autodetect}
            - {name: FELIX_IPINIPMTU, valueFrom: {configMapKeyRef: {name: calico-config, key: veth_mtu}}}
            - {name: FELIX_VXLANMTU, valueFrom: {configMapKeyRef: {name: calico-config, key: veth_mtu}}}
            - {name: CALICO_IPV4POOL_IPIP, value: Always}
            - {name: CALICO_IPV4POOL_VXLAN, value: Never}
            - {name: CALICO_IPV6POOL_VXLAN, value: Never}
            - {name: CALICO_IPV4POOL_CIDR, value: 192.168.0.0/16}`;
  const reference = "valueFrom: {configMapKeyRef: {name: calico-config, key: calico_backend}}";
  return `
kind: ConfigMap
apiVersion: v1
metadata: {name: calico-config, namespace: kube-system}
data:
  typha_service_name: "none"
  calico_backend: "${backend}"
  veth_mtu: "${vethMtu}"
  cni_network_config: |-
    ${calicoCni('{"type": "calico-ipam"}')}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ippools.crd.projectcalico.org}
spec:
  group: crd.projectcalico.org
  scope: Cluster
---
kind: DaemonSet
apiVersion: apps/v1
metadata:
  name: calico-node
  namespace: kube-system
spec:
  selector: {matchLabels: {k8s-app: calico-node}}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}
  template:
    metadata: {labels: {k8s-app: calico-node}}
    spec:${calicoSpec("calico-node")}
      containers:${calicoNode("bgp", reference, env)}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: calico-kube-controllers, namespace: kube-system}
spec: {replicas: 1}
`;
}

export interface CanalVariant {
  readonly iface?: string;
  readonly masquerade?: string;
  readonly vethMtu?: string;
  readonly netConf?: string;
}

export function canalManifest({
  iface = "",
  masquerade = "true",
  vethMtu = "0",
  netConf = standardNetConf,
}: CanalVariant = {}): string {
  const key = (name: string) => `valueFrom: {configMapKeyRef: {name: canal-config, key: ${name}}}`;
  return `
kind: ConfigMap
apiVersion: v1
metadata: {name: canal-config, namespace: kube-system}
data:
  typha_service_name: "none"
  canal_iface: ${JSON.stringify(iface)}
  masquerade: ${JSON.stringify(masquerade)}
  veth_mtu: ${JSON.stringify(vethMtu)}
  cni_network_config: |-
    ${calicoCni('{"type": "host-local", "subnet": "usePodCidr"}')}
  net-conf.json: |
    ${indent(netConf.trimEnd(), 4)}
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: canal, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: canal}}
  template:
    metadata: {labels: {k8s-app: canal}}
    spec:${calicoSpec("canal")}
      containers:${calicoNode("canal", "value: none", '            - {name: IP, value: ""}\n            - {name: USE_POD_CIDR, value: "true"}')}
        - name: kube-flannel
          image: flannel:test
          command: [/opt/bin/flanneld, --ip-masq, --kube-subnet-mgr]
          securityContext: {privileged: true}
          env:
            - name: FLANNELD_IFACE
              ${key("canal_iface")}
            - name: FLANNELD_IP_MASQ
              ${key("masquerade")}
      volumes:
        - name: flannel-cfg
          configMap: {name: canal-config}
`;
}
