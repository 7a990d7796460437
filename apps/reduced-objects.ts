import type { KubernetesObject } from "../src/store/kubernetes/object.ts";

/**
 * Of Kubernetes' objects what policy needs, in their own form: an agent watches all pods of the cluster and keeps them in memory and
 * on disk, and a Pod as the API server sends it is 5 to 20 kB, most of it reports of its state.
 */

/** Everything that people write, without who wrote it when. */
export function reduceObject({ metadata, ...object }: Written): Written {
  const { namespace, name, uid, labels, annotations = {}, generation } = metadata;
  const { status: _status, ...written } = object;
  const { "kubectl.kubernetes.io/last-applied-configuration": _applied, ...kept } = annotations;
  return { ...written, metadata: defined({ namespace, name, uid, labels, annotations: kept, generation }) };
}

/** Where agents publish a new pod's addresses before its kubelet reports them. */
const published = "cni.projectcalico.org/podIPs";

/** Of a static pod the API has a mirror with a uid of its own; this is the one that its runtime knows. */
const runtimeUid = "kubernetes.io/config.hash";

/** Pods on their host's network are the host, and completed ones have no address any more. */
export function reducePod({ metadata, spec, status }: Pod): Pod | undefined {
  const { namespace, name, uid, labels, annotations } = metadata;
  const { nodeName, hostNetwork, serviceAccountName, containers = [], initContainers = [] } = spec ?? {};
  const { phase, podIPs, podIP } = status ?? {};
  if (hostNetwork === true || phase === "Succeeded" || phase === "Failed") return undefined;
  const addresses = annotations?.[published];
  const reported = podIPs !== undefined || podIP !== undefined;
  const lasting = initContainers.filter(({ restartPolicy }) => restartPolicy === "Always");
  const named = [...containers, ...lasting].flatMap(({ name: container, ports }) => {
    const wanted = (ports ?? []).filter(({ name: port }) => port !== undefined);
    return wanted.length === 0 ? [] : [{ name: container, ports: wanted }];
  });
  return {
    metadata: defined({
      namespace,
      name,
      uid: annotations?.[runtimeUid] ?? uid,
      labels,
      annotations: reported || addresses === undefined ? undefined : { [published]: addresses },
    }),
    spec: defined({ nodeName, serviceAccountName, containers: named.length === 0 ? undefined : named }),
    status: defined({ phase, podIPs, podIP: podIPs === undefined ? podIP : undefined }),
  };
}

interface Written extends KubernetesObject {
  readonly metadata: KubernetesObject["metadata"] & { readonly generation?: number };
  readonly status?: unknown;
}

interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
}

interface Pod extends KubernetesObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly serviceAccountName?: string;
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
  };
}

/** Without fields that are undefined. */
const defined = <T extends object>(fields: { readonly [K in keyof T]: T[K] | undefined }): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
