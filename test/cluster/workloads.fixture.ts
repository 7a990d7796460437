import type { Manifest } from "./cluster.fixture.ts";

/** Kubernetes' own test program: a web server, clients, and much else in one binary. */
export const agnhost = "registry.k8s.io/e2e-test-images/agnhost:2.63.0";
export const pause = "registry.k8s.io/pause:3.10";

type Fields = Readonly<Record<string, unknown>>;

/** Answers on port 8080: /hostname, /healthz, /echo?msg=…&code=…. */
export const webContainer = (more: Fields = {}): Fields => ({
  name: "web",
  image: agnhost,
  args: ["netexec", "--http-port=8080"],
  readinessProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1 },
  ...more,
});

export const pauseContainer: Fields = { name: "pause", image: pause };

export const podSpec = (container: Fields, more: Fields = {}): Fields => ({
  terminationGracePeriodSeconds: 1,
  containers: [container],
  ...more,
});

export const pod = (name: string, spec: Fields, labels: Fields = {}): Manifest => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels } as Manifest["metadata"],
  spec,
});

const controller = (kind: string, name: string, spec: Fields, more: Fields): Manifest => ({
  apiVersion: "apps/v1",
  kind,
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec },
    ...more,
  },
});

export const deployment = (name: string, replicas: number, spec: Fields): Manifest =>
  controller("Deployment", name, spec, { replicas });

/** Without a Service: nothing implements those here, and the name's address is asked of the API. */
export const statefulSet = (name: string, replicas: number, spec: Fields): Manifest =>
  controller("StatefulSet", name, spec, { replicas, serviceName: name, podManagementPolicy: "Parallel" });

export const job = (name: string, completions: number, parallelism: number, spec: Fields): Manifest => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name },
  spec: { completions, parallelism, backoffLimit: 0, template: { spec: { restartPolicy: "Never", ...spec } } },
});

/** One a node where there are as many nodes. */
export const spreadOverNodes = (app: string): Fields => ({
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: "kubernetes.io/hostname",
      whenUnsatisfiable: "ScheduleAnyway",
      labelSelector: { matchLabels: { app } },
    },
  ],
});
