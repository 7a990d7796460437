import { expect } from "bun:test";
import { isReady, type PodObject, type TestCluster, until } from "./cluster.fixture.ts";
import { life, whileTalking } from "./life.fixture.ts";
import { expectAllReached } from "./reach.fixture.ts";
import { deployment, pod, podSpec, spreadOverNodes, webContainer } from "./workloads.fixture.ts";

const web = deployment(
  "web",
  3,
  podSpec(
    webContainer({
      livenessProbe: {
        httpGet: { path: "/healthz", port: 8080 },
        periodSeconds: 2,
        timeoutSeconds: 10,
        failureThreshold: 10,
      },
    }),
    spreadOverNodes("web"),
  ),
);

life(
  "a Deployment of three: reached pod to pod and from nodes; logs and exec through the API server",
  async (cluster) => {
    await whileTalking(cluster, async () => {
      await cluster.apply(web);
      await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=150s");
      const pods = await cluster.pods("-l", "app=web");
      expect(pods.map(({ spec }) => spec.nodeName).sort()).toEqual([...cluster.nodes]);
      await expectAllReached(cluster, pods);
      for (const { metadata, status } of pods) {
        expect(await cluster.kubectl("logs", metadata.name)).toContain("GET /healthz"); // its probes
        expect(await cluster.kubectl("exec", metadata.name, "--", "/agnhost", "--help")).toContain("netexec");
        expect(status.containerStatuses?.map(({ restartCount }) => restartCount)).toEqual([0]);
      }
      await cluster.remove(web);
    });
  },
);

life(
  "kubelet's probes decide: one that fails its liveness is restarted, one that is not ready is said so",
  async (cluster) => {
    const failing = { httpGet: { path: "/echo?msg=no&code=503", port: 8080 }, periodSeconds: 1, failureThreshold: 1 };
    const pods = [
      pod("well", podSpec(webContainer())),
      pod("not-ready", podSpec(webContainer({ readinessProbe: failing }))),
      pod("not-alive", podSpec(webContainer({ livenessProbe: { ...failing, failureThreshold: 3 } }))),
    ];
    await whileTalking(cluster, async () => {
      await cluster.apply(...pods);
      const get = (name: string) => cluster.get<PodObject>("pod", name);
      await until("not-alive was restarted", async () => {
        return ((await get("not-alive")).status.containerStatuses?.[0]?.restartCount ?? 0) > 0;
      });
      const address = (await get("not-alive")).status.podIP;
      await until("well is ready", async () => isReady(await get("well")));
      const other = await get("not-ready");
      expect([isReady(other), other.status.phase]).toEqual([false, "Running"]);
      expect(await cluster.kubectl("describe", "pod", "not-ready")).toContain("Readiness probe failed");
      expect((await get("not-alive")).status.podIP).toBe(address); // a container's restart is not its pod's
      await cluster.remove(...pods);
    });
  },
);

life("get, describe and logs of the DaemonSet are healthy and useful", async (cluster) => {
  const kubectl = (...args: string[]) => cluster.kubectl("-n", "twill-system", ...args);
  // New pods, for the old ones may tell of what other tests did to them.
  await kubectl("rollout", "restart", "daemonset/twill-agent");
  await cluster.awaitHealthy();
  expect(await kubectl("get", "daemonset", "twill-agent", "--no-headers")).toMatch(/^twill-agent +3 +3 +3 +3 +3 /);
  const described = await kubectl("describe", "daemonset", "twill-agent");
  for (const word of ["3 Running / 0 Waiting", "/healthz", "/readyz", "Startup:", "system-node-critical"])
    expect(described).toContain(word);
  const pods = await cluster.pods("-n", "twill-system");
  const fields = "{.type} {.involvedObject.name} {.reason} {.message}";
  const events = await kubectl("get", "events", "-o", `jsonpath={range .items[*]}${fields}{"\\n"}{end}`);
  // A probe that comes too early is no fault of theirs.
  const warnings = events.split("\n").filter((line) => line.startsWith("Warning") && !line.includes(" Unhealthy "));
  expect(warnings.filter((line) => pods.some(({ metadata }) => line.includes(metadata.name)))).toEqual([]);
  for (const { metadata, spec } of pods) {
    const said = await kubectl("logs", metadata.name);
    expect(said).toContain(`node=${spec.nodeName}`);
    expect(said).toContain("ready: pods can be added");
    expect(said).not.toMatch(/ ERROR /);
    expect(await kubectl("logs", metadata.name, "-c", "install-cni")).toContain("/opt/cni/bin/twill-cni: ");
    expect(await cluster.on(spec.nodeName ?? "", "twill", "status")).toContain(`${spec.nodeName}: ready`);
  }
  expect(await outcome(cluster)).toContain(" paths work");
});

/** Every path between nodes, pods that stay and the outside; TCP, UDP, ICMP, source address and MTU. */
const outcome = async (cluster: TestCluster): Promise<string> => await cluster.lab("check", "--settle", "10");
