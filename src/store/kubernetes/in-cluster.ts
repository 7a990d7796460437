import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../../base/errors.ts";
import type { ClusterAccess } from "./access.ts";
import { materialCredentials } from "./credentials.ts";
import { checkServer } from "./kubeconfig.ts";
import { file } from "./material.ts";

export const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * As a pod's service account, by the files that the kubelet keeps fresh. `server`: the API server's own address;
 * without it the Service's (KUBERNETES_SERVICE_HOST), which the pod network must not need: it may be what makes it work.
 * @throws TwillError `unavailable` outside a pod, `invalid` for a server that is no URL.
 */
export function inClusterAccess(
  server: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  directory = SERVICE_ACCOUNT,
): ClusterAccess {
  const token = join(directory, "token");
  const host = env.KUBERNETES_SERVICE_HOST;
  const address =
    server ?? (host && `https://${host.includes(":") ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT ?? "443"}`);
  if (!existsSync(token) || address === undefined || address === "") {
    throw new TwillError("unavailable", "there is no service account here", {
      operation: "open datastore",
      object: "kubernetes:",
      remedy: "outside a pod, write kubernetes:/PATH/OF/A/KUBECONFIG",
    });
  }
  const namespace = optional(join(directory, "namespace"));
  return {
    server: checkServer(address, "the address of the API server"),
    authority: file(join(directory, "ca.crt"), "cluster's certificate authority"),
    insecure: false,
    ...(namespace && { namespace }),
    credentials: materialCredentials({ token: file(token, "service account token") }),
    source: `the service account in ${directory}`,
  };
}

function optional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
