import { isAbsolute } from "node:path";
import { type Clock, systemClock } from "../../base/clock.ts";
import { TwillError } from "../../base/errors.ts";
import type { ClusterAccess } from "./access.ts";
import { inClusterAccess } from "./in-cluster.ts";
import { checkServer, readKubeconfig } from "./kubeconfig.ts";

/** What stands after "kubernetes:" in the URL of a datastore. */
export interface KubernetesUrl {
  /** Absolute. Absent: the service account of the pod we are in. */
  readonly kubeconfig?: string;
  /** Of the kubeconfig. */
  readonly context?: string;
  /** Of the objects that have no place of their own. */
  readonly namespace?: string;
  /** The ConfigMap that people keep net-conf.json in, which then is the object config/network. */
  readonly config?: { readonly namespace: string; readonly name: string };
  /** The API server's own address, instead of the Service's or the kubeconfig's. */
  readonly server?: string;
}

export const KUBERNETES_URL_FORM =
  "write kubernetes: in a pod, kubernetes:/PATH/OF/A/KUBECONFIG elsewhere; ?context=, namespace=, config=NAMESPACE/CONFIGMAP and server=https://ADDRESS:PORT may follow";

const options = ["context", "namespace", "server", "config"] as const;
const namespacePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const configPattern = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\/([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)$/;

/** @throws TwillError `invalid`. */
export function parseKubernetesUrl(rest: string): KubernetesUrl {
  const mark = rest.indexOf("?");
  const path = mark < 0 ? rest : rest.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : rest.slice(mark + 1));
  const wrong = (message: string) =>
    new TwillError("invalid", message, {
      operation: "open datastore",
      object: `kubernetes:${rest}`,
      remedy: KUBERNETES_URL_FORM,
    });
  if (path !== "" && (!isAbsolute(path) || path.endsWith("/") || path.includes("\0"))) {
    throw wrong(`"${path}" is not the absolute path of a kubeconfig`);
  }
  const unknown = [...query.keys()].find((key) => !options.some((option) => option === key));
  if (unknown !== undefined) throw wrong(`"${unknown}" is no option of this datastore`);
  const [context, namespace, server, config] = options.map((option) => query.get(option) ?? undefined);
  if (namespace !== undefined && !namespacePattern.test(namespace)) throw wrong(`"${namespace}" is not a namespace`);
  const [, configNamespace, configName] = configPattern.exec(config ?? "") ?? [];
  if (config !== undefined && configName === undefined) throw wrong(`"${config}" is not NAMESPACE/CONFIGMAP`);
  if (server !== undefined) checkServer(server, `kubernetes:${rest}`);
  if (context !== undefined && path === "") throw wrong("a context is one of a kubeconfig, and there is none");
  return {
    ...(path !== "" && { kubeconfig: path }),
    ...(context !== undefined && { context }),
    ...(namespace !== undefined && { namespace }),
    ...(server !== undefined && { server }),
    ...(configNamespace && configName && { config: { namespace: configNamespace, name: configName } }),
  };
}

/** Where people find the object config/network, for a URL that names the place: "ConfigMap kube-flannel/kube-flannel-cfg". */
export function configPlace(datastore: string): string | undefined {
  if (!datastore.startsWith("kubernetes:")) return undefined;
  const { config } = parseKubernetesUrl(datastore.slice("kubernetes:".length));
  return config && `ConfigMap ${config.namespace}/${config.name}`;
}

/** @throws TwillError as readKubeconfig and inClusterAccess do. */
export function clusterAccess(url: KubernetesUrl, clock: Clock = systemClock): ClusterAccess {
  if (url.kubeconfig === undefined) return inClusterAccess(url.server, process.env);
  const access = readKubeconfig(url.kubeconfig, clock, url.context);
  return url.server === undefined ? access : { ...access, server: checkServer(url.server, "?server=") };
}
