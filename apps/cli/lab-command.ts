import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { agentActions, type CheckResult, type LabApi, type LabStatus } from "../../lab/api.ts";
import { callLab } from "../../lab/control.ts";
import { defaultConfig } from "../../lab/default-config.ts";
import { isInsideLab, isRunning, labDirectory, readRecord, removeLab } from "../../lab/directory.ts";
import { createLab } from "../../lab/enclosure.ts";
import { controlSocket, labInit } from "../../lab/init.ts";
import { type Component, components } from "../../lab/kubernetes/control-machine.ts";
import { nodeServices } from "../../lab/kubernetes/kubelet.ts";
import { findKubernetes } from "../../lab/kubernetes/parts.ts";
import { adminKubeconfig } from "../../lab/kubernetes/settings.ts";
import { enterFromHost } from "../../lab/namespaces.ts";
import { nodeInit } from "../../lab/node-init.ts";
import { drawCluster } from "../../lab/picture.ts";
import { withDenied } from "../../lab/probe/denied.ts";
import { loopbackAnswer, loopbackCall } from "../../lab/probe/loopback.ts";
import { works } from "../../lab/probe/result.ts";
import { findPrograms } from "../../lab/programs.ts";
import { progressLine } from "../../lab/progress.ts";
import { drawReport, jsonReport, tableRows, verdictLine } from "../../lab/report.ts";
import { datastoreUrl, labEnvironment } from "../../lab/settings.ts";
import { painter } from "../../lab/table.ts";
import { TwillError } from "../../src/base/errors.ts";
import { boolean, number, optional, list as repeated, text, withLetter } from "../flags.ts";
import { type Command, command, type Output } from "./command.ts";
import { readPolicyModel } from "./policy-model.ts";

/** `twill lab …`: wiring between the command line and the lab's own process. */

const reportFlags = {
  json: boolean(false, "print the cluster and every path as JSON instead of picture and table"),
  all: boolean(false, "a line of the table for each path; otherwise alike paths share one in a large cluster"),
} as const;

/** How long paths may take to appear behind a change, milliseconds. */
const settleTime = 5000;

const up = command({
  name: "up",
  summary: "make a cluster of several nodes on this machine, and check every path in it",
  flags: {
    nodes: number(4, "how many nodes", [1, 200]),
    subnets: number(2, "how many underlay subnets they are spread over, with a router between", [1, 200]),
    pods: number(2, "pods on each node", [0, 200]),
    config: optional(
      "the network's configuration, Flannel's net-conf.json (default: vxlan with DirectRouting)",
      "FILE",
    ),
    mtu: number(1500, "of the underlay, bytes", [650, 65535]),
    agentFlag: repeated("pass this flag on to every agent, e.g. --agent-flag=--attachment=bridge", "FLAG"),
    bare: boolean(false, "the machines alone: no agents, no pods"),
    kubernetes: boolean(false, "a real Kubernetes 1.36 on the machines, with Twill as its DaemonSet (npm run cluster)"),
    replace: boolean(false, "end the lab that is running first"),
    ...reportFlags,
  },
  help: `Nodes and pods are network namespaces with real devices, routes and packets; every node runs twill-agent, and
pods are added through the CNI plugin as kubelet's runtime does it. Nothing is made in this machine's own network.
It stays up. Look around, change things, break things:

  twill lab exec node1 -- ip route                 on a node
  twill lab exec node1/pod-a -- ping -c 3 outside  in a pod
  twill lab exec node1 -- twill status             what the agents say
  twill lab link down node2                        pull node2's cable
  twill lab node stop node3                        cut node3's power
  twill lab check                                  who still reaches whom?
  twill lab down                                   leave nothing behind

Needs root, or a kernel that allows user namespaces. TWILL_LAB=DIRECTORY makes several labs possible.`,
  run: async ({ flags, given }, output) => {
    refuseInside();
    const directory = labDirectory();
    const config = flags.config === undefined ? defaultConfig : readConfig(flags.config);
    if (flags.kubernetes) refuseLabPods(given);
    const kubernetes = flags.kubernetes ? { kubernetes: findKubernetes(findPrograms()) } : {};
    const nodes = flags.kubernetes && !given.has("nodes") ? 3 : flags.nodes;
    const line = progressLine(process.stderr);
    try {
      if (flags.replace) await removeLab(directory);
      const params = {
        nodes,
        subnets: given.has("subnets") ? flags.subnets : Math.min(flags.subnets, nodes),
        pods: flags.pods,
        mtu: flags.mtu,
        config,
        configName: flags.config ?? "the default configuration",
        agentFlags: flags.agentFlag,
        bare: flags.bare,
        ...kubernetes,
      };
      return await createLab(directory, params, line.show, async () => {
        if (!flags.bare && !flags.kubernetes) return check(flags, output, line.show, line.clear);
        line.clear();
        const status = await showStatus(flags, output);
        if (flags.kubernetes && !flags.json) output.out(kubernetesHint);
        return status;
      });
    } finally {
      line.clear();
    }
  },
});

const kubernetesHint = `
Kubernetes runs, with Twill as its pod network:

  twill lab exec control -- kubectl get nodes,pods -A
  twill lab exec node1 -- twill status
  twill lab check                                  every path between nodes and pods
`;

/** Kubernetes' own pods and the DaemonSet's flags take the place of the lab's. */
function refuseLabPods(given: ReadonlySet<string>): void {
  const wrong = ["pods", "agentFlag"].find((name) => given.has(name));
  if (wrong === undefined) return;
  throw new TwillError("invalid", "--kubernetes has pods and agents of its own", {
    operation: "create lab",
    remedy: wrong === "pods" ? "leave --pods out; kubectl makes pods" : "set TWILL_<FLAG> in the ConfigMap instead",
  });
}

const checkCommand = command({
  name: "check",
  summary: "check every path again, and print picture and table",
  flags: {
    settle: number(0, "seconds for which failing paths are tried again", [0, 600]),
    ...reportFlags,
  },
  help: `Of every pair (lo within a pod, pod to pod, node to pod, pod to node, pod to outside) TCP, UDP and ICMP are tried.
PATH is what the devices' packet counters on both nodes showed for a burst of packets, never what the configuration says:
"local" stayed on the node, "direct" crossed the underlay as it is, "vxlan" in that tunnel. RTT is the median round trip of
small datagrams, MTU the largest packet that came back unfragmented, SOURCE SEEN the address that the other side saw.
The exit status is 1 unless all paths work.`,
  run: async ({ flags }, output) => {
    const line = progressLine(process.stderr);
    try {
      return await check(flags, output, line.show, line.clear, flags.settle * 1000);
    } finally {
      line.clear();
    }
  },
});

const status = command({
  name: "status",
  summary: "print the picture of the cluster",
  flags: { json: reportFlags.json },
  run: ({ flags }, output) => showStatus(flags, output),
});

const exec = command({
  name: "exec",
  usage: "NODE|NODE/POD|router|outside -- COMMAND [ARGUMENT...]",
  summary: "run a command on a node or in a pod",
  help: `The command gets the node's network, files and host name; its exit status is passed on. Without a command: a shell.

  twill lab exec node1 -- ip route
  twill lab exec node1/pod-a -- curl http://pod-b.node2:8080   every pod answers there
  twill lab exec router -- tcpdump -ni any udp port 8472       watch the tunnels
  twill lab exec node1                                         a shell`,
  run: async ({ rest, after }) => {
    const target = one(rest, "exec", "NODE or NODE/POD");
    const handles = await call("enter", { target });
    const directory = labDirectory();
    const record = readRecord(directory);
    if (record?.init === undefined) throw noLab(directory);
    const argv = after === undefined || after.length === 0 ? [process.env.SHELL ?? "/bin/sh"] : after;
    const child = Bun.spawn(enterFromHost(handles, record.init.pid, record.rootless, argv), {
      stdio: ["inherit", "inherit", "inherit"],
      env: { ...labEnvironment(directory, findPrograms()), ...kubectlEnvironment(directory) },
    });
    // ctrl-C is the command's business; it reaches the whole foreground group.
    process.on("SIGINT", () => {});
    await child.exited;
    if (child.exitCode !== null) return child.exitCode;
    const signals: Readonly<Record<string, number>> = constants.signals;
    return 128 + (signals[String(child.signalCode)] ?? 0); // as shells say it
  },
});

const pod = command({
  name: "pod",
  summary: "add a pod or delete one",
  subcommands: [
    command({
      name: "add",
      usage: "NODE/POD",
      summary: "add a pod through the node's CNI configuration",
      run: async ({ rest }, output) => {
        const { addresses } = await call("addPod", podOf(one(rest, "pod add", "NODE/POD")));
        output.out(`${rest[0]} ${addresses.join(" ")}\n`);
        return 0;
      },
    }),
    command({
      name: "del",
      usage: "NODE/POD",
      summary: "delete a pod: the plugins' DEL, then its namespace",
      run: async ({ rest }) => done(await call("deletePod", podOf(one(rest, "pod del", "NODE/POD")))),
    }),
  ],
});

const run = command({
  name: "run",
  usage: "NAME",
  summary: "add a pod with a namespace and labels, as policies select by them",
  flags: {
    namespace: withLetter("n", text("default", "its namespace, made when it is its first pod", "NAMESPACE")),
    label: withLetter("l", repeated("KEY=VALUE, for policies to select it by", "LABEL")),
    on: optional("the node (default: the one with the fewest pods)", "NODE"),
  },
  help: `  twill lab run web -n shop -l app=web --on node1
  twill lab exec node1/shop/web -- curl http://pod-b.node2:8080
  twill lab pod del node1/shop/web`,
  run: async ({ rest, flags }, output) => {
    const { node, pod, addresses } = await call("addPod", {
      pod: one(rest, "run", "NAME"),
      namespace: flags.namespace,
      labels: labelsOf(flags.label),
      unique: true,
      ...(flags.on === undefined ? {} : { node: flags.on }),
    });
    output.out(`${node}/${pod} ${addresses.join(" ")}\n`);
    return 0;
  },
});

const node = command({
  name: "node",
  summary: "add, stop, start or delete a node",
  subcommands: [
    command({
      name: "add",
      usage: "[NAME]",
      summary: "add a node, with its agent and pods",
      flags: {
        subnet: number(0, "the underlay subnet it is plugged into (default: the one with the fewest nodes)", [0, 200]),
        pods: number(2, "pods on it", [0, 200]),
      },
      run: async ({ rest, flags }, output) => {
        const { name } = await call("addNode", {
          ...(rest[0] === undefined ? {} : { name: rest[0] }),
          ...(flags.subnet === 0 ? {} : { subnet: flags.subnet }),
          pods: flags.pods,
        });
        output.out(`${name}\n`);
        return 0;
      },
    }),
    command({
      name: "stop",
      usage: "NAME",
      summary: "cut its power: all its processes die at once, its devices are gone, its disk stays",
      run: async ({ rest }) => done(await call("stopNode", { name: one(rest, "node stop", "NAME") })),
    }),
    command({
      name: "start",
      usage: "NAME",
      summary: "switch it on again: a new boot with the old disk, without its pods",
      run: async ({ rest }) => done(await call("startNode", { name: one(rest, "node start", "NAME") })),
    }),
    command({
      name: "del",
      usage: "NAME",
      summary: "cut its power and scrap its disk",
      run: async ({ rest }) => done(await call("deleteNode", { name: one(rest, "node del", "NAME") })),
    }),
  ],
});

const actionSummary = {
  stop: "SIGTERM",
  kill: "SIGKILL: a crash",
  start: "start it",
  restart: "SIGTERM, then start",
} as const;

const agent = command({
  name: "agent",
  summary: "stop, kill, start or restart a node's agent; pods keep running",
  subcommands: agentActions.map((action) =>
    command({
      name: action,
      usage: "NODE",
      summary: actionSummary[action],
      run: async ({ rest }) => done(await call("agent", { node: one(rest, `agent ${action}`, "NODE"), action })),
    }),
  ),
});

const control = command({
  name: "control",
  summary: "stop, kill, start or restart a part of the Kubernetes control plane",
  subcommands: agentActions.map((action) =>
    command({
      name: action,
      usage: components.join("|"),
      summary: actionSummary[action],
      run: async ({ rest }) => done(await call("component", { name: component(rest, action), action })),
    }),
  ),
});

const services = nodeServices.map((name) =>
  command({
    name,
    summary: `stop, kill, start or restart a node's ${name}; its pods keep running`,
    subcommands: agentActions.map((action) =>
      command({
        name: action,
        usage: "NODE",
        summary: actionSummary[action],
        run: async ({ rest }) =>
          done(await call("nodeService", { node: one(rest, `${name} ${action}`, "NODE"), name, action })),
      }),
    ),
  }),
);

function component(rest: readonly string[], action: string): Component {
  const name = one(rest, `control ${action}`, components.join(" or "));
  const found = components.find((each) => each === name);
  if (found !== undefined) return found;
  throw new TwillError("invalid", `"${name}" is no part of the control plane`, {
    remedy: `there are ${components.join(", ")}`,
  });
}

const link = command({
  name: "link",
  summary: "pull a node's underlay cable, or put it back",
  subcommands: [
    { name: "down", up: false, summary: "pull the cable: the node's eth0 loses its carrier" },
    { name: "up", up: true, summary: "put it back" },
  ].map(({ name, up: isUp, summary }) =>
    command({
      name,
      usage: "NODE",
      summary,
      run: async ({ rest }) => done(await call("link", { node: one(rest, `link ${name}`, "NODE"), up: isUp })),
    }),
  ),
});

const down = command({
  name: "down",
  summary: "end the lab; nothing of it stays behind",
  run: async (_, output) => {
    refuseInside();
    const directory = labDirectory();
    output.out((await removeLab(directory)) ? "the lab is gone\n" : "there is no lab\n");
    return 0;
  },
});

/** Run by the lab itself, inside its namespaces. */
const internal: readonly Command[] = [
  program("init", ([directory = ""]) => labInit(directory)),
  program("node-init", ([directory = "", name = "", kind]) => nodeInit(directory, name, kind === "kubernetes")),
  program("lo-answer", ([family]) => loopbackAnswer(family === "6" ? 6 : 4)),
  program("lo-call", ([family, udp, tcp]) => loopbackCall(family === "6" ? 6 : 4, Number(udp), Number(tcp))),
];

function program(name: string, run: (args: readonly string[]) => Promise<void>): Command {
  const declared = command({ name, summary: "for the lab's own use", run: ({ rest }) => run(rest).then(() => 0) });
  return { ...declared, hidden: true };
}

export const labCommand: Command = command({
  name: "lab",
  summary: "a cluster on this machine: real kernel, real packets",
  subcommands: [up, checkCommand, status, exec, run, pod, node, agent, control, ...services, link, down, ...internal],
});

async function check(
  flags: { readonly json: boolean; readonly all: boolean },
  output: Output,
  progress: (text: string) => void,
  clear: () => void,
  settle = settleTime,
): Promise<number> {
  const found = await asPolicyHasIt(await call("check", { settle }, progress));
  clear();
  if (flags.json) output.out(`${JSON.stringify(jsonReport(found), null, 2)}\n`);
  else printReport(found, flags.all, output);
  return found.results.every(works) ? 0 : 1;
}

/** With what policy denies told from what does not work. A lab with Kubernetes has its policies in the API server. */
async function asPolicyHasIt(found: CheckResult): Promise<CheckResult> {
  const directory = labDirectory();
  if (found.results.every(works) || existsSync(adminKubeconfig(directory))) return found;
  try {
    const { model } = await readPolicyModel(datastoreUrl(directory));
    return { ...found, results: withDenied(found.results, model) };
  } catch {
    return found; // its datastore is away: part of what is being tried out
  }
}

function printReport(found: CheckResult, all: boolean, output: Output): void {
  const width = output.columns ?? 100;
  const paint = painter(output.colour);
  const rows = tableRows(found.results, all);
  const lines = [
    ...drawCluster(found.view, width),
    "",
    ...drawReport(rows, found.families, width, paint),
    "",
    verdictLine(found.results, paint),
  ];
  output.out(`${lines.join("\n")}\n`);
}

async function showStatus(flags: { readonly json: boolean }, output: Output): Promise<number> {
  const found: LabStatus = await call("status", null);
  output.out(
    flags.json
      ? `${JSON.stringify(found, null, 2)}\n`
      : `${drawCluster(found.view, output.columns ?? 100).join("\n")}\n`,
  );
  return 0;
}

async function call<M extends keyof LabApi>(
  method: M,
  params: LabApi[M]["params"],
  progress?: (text: string) => void,
): Promise<LabApi[M]["result"]> {
  const directory = labDirectory();
  if (!isRunning(directory)) throw noLab(directory);
  return await callLab<LabApi, M>(controlSocket(directory), method, params, progress);
}

/** So that `kubectl` needs no flags anywhere in the lab. */
function kubectlEnvironment(directory: string): Record<string, string> {
  const path = adminKubeconfig(directory);
  return existsSync(path) ? { KUBECONFIG: path } : {};
}

const noLab = (directory: string): TwillError =>
  new TwillError("not-found", "no lab is running", {
    operation: "use lab",
    object: directory,
    remedy: 'start one with "twill lab up"',
  });

/** In there the directory holds mounts of this machine's own files. */
function refuseInside(): void {
  if (isInsideLab())
    throw new TwillError("invalid", "this shell is inside a lab", { remedy: "leave it with exit first" });
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TwillError("not-found", "it cannot be read", { operation: "read --config", object: path, cause });
  }
}

function one(rest: readonly string[], path: string, what: string): string {
  const [only, ...more] = rest;
  if (only === undefined || more.length > 0)
    throw new TwillError("invalid", `twill lab ${path} takes one argument, ${what}`, {
      remedy: more.length > 0 ? `leave out ${more.join(" ")}, or write it behind --` : 'see "twill lab status"',
    });
  return only;
}

function podOf(text: string): { node: string; pod: string } {
  const [node = "", ...pod] = text.split("/");
  if (node === "" || pod.length === 0 || pod.length > 2 || pod.includes(""))
    throw new TwillError("invalid", `"${text}" is not NODE/POD`, {
      remedy: "write it as node1/pod-a, or node1/shop/web outside of the namespace default",
    });
  return { node, pod: pod.join("/") };
}

/** "app=web" */
function labelsOf(texts: readonly string[]): Record<string, string> {
  const pairs = texts.flatMap((text) => text.split(",")).map((text) => [text, text.indexOf("=")] as const);
  return Object.fromEntries(
    pairs.map(([text, equals]) => {
      if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
      throw new TwillError("invalid", `"${text}" is not KEY=VALUE`, { remedy: "write a label as -l app=web" });
    }),
  );
}

const done = (_: null): number => 0;
