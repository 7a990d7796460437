import type { Credentials } from "./credentials.ts";
import type { Material } from "./material.ts";

/** How to reach a cluster's API server, and as whom. Read from a kubeconfig or from a pod's service account. */
export interface ClusterAccess {
  /** "https://10.0.0.1:6443", perhaps with a path before the API's own (a proxy's). */
  readonly server: string;
  /** PEM of the authorities that may have signed the server's certificate. Absent: those of the system. */
  readonly authority?: Material;
  /** The name to expect in the server's certificate instead of the address. */
  readonly tlsServerName?: string;
  /** The administrator said insecure-skip-tls-verify. */
  readonly insecure: boolean;
  /** HTTP proxy. */
  readonly proxy?: string;
  /** Of the kubeconfig's context, or the pod's own. */
  readonly namespace?: string;
  readonly credentials: Credentials;
  /** Where all this was read, for error messages. */
  readonly source: string;
}
