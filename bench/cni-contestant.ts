import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentNode } from "./agent-node.ts";
import { Namespace } from "./namespace.ts";
import { type Command, type Ended, runTogether } from "./spawner.ts";

export type Action = "ADD" | "DEL";

const debian = "/usr/lib/cni";

/** One plugin on a node of its own. */
export interface Contestant {
  readonly name: string;
  readonly program: string;
  readonly node: Namespace;
  readonly folder: string;
  /** Processor time so far of processes that work for the plugin and outlive it, milliseconds. */
  processor(): number;
}

export function twillContestant(programs: string, node: AgentNode): Contestant {
  writeFileSync(configOf(node), JSON.stringify(node.pluginConfig()));
  const program = join(programs, "twill-cni");
  return { name: "twill-cni", program, node: node.netns, folder: node.folder, processor: () => node.processor() };
}

/**
 * Debian's bridge with host-local.
 * @param route the pods' beside their own subnet.
 */
export function bridgeContestant(folder: string, name: string, route: string, settings: object): Contestant {
  mkdirSync(folder, { recursive: true });
  const node = new Namespace();
  node.run("ip link set lo up");
  const ipam = {
    type: "host-local",
    ranges: [[{ subnet: "10.245.1.0/24" }]],
    routes: [{ dst: route }],
    dataDir: join(folder, "host-local"),
  };
  const own = { cniVersion: "1.0.0", name: "bench", type: "bridge", bridge: "cni0", ipMasq: false };
  writeFileSync(configOf({ folder }), JSON.stringify({ ...own, ...settings, ipam }));
  return { name, program: join(debian, "bridge"), node, folder, processor: () => 0 };
}

const configOf = ({ folder }: { readonly folder: string }): string => join(folder, "config.json");

/** All of these pods at once. @throws Error with what the plugin said, when one fails. */
export function call(contestant: Contestant, action: Action, pods: readonly Namespace[], id: string): Ended[] {
  const commands = pods.map((pod, index): Command => {
    const container = `${id}-${index}`;
    return {
      program: contestant.program,
      environment: {
        CNI_COMMAND: action,
        CNI_CONTAINERID: container,
        CNI_NETNS: pod.path,
        CNI_IFNAME: "eth0",
        CNI_PATH: debian,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-${index};K8S_POD_INFRA_CONTAINER_ID=${container}`,
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      },
      stdin: configOf(contestant),
      stdout: join(contestant.folder, `output-${index}`),
    };
  });
  const all = contestant.node.enter(() => runTogether(commands));
  for (const { status, command } of all)
    if (status !== 0) throw new Error(`${contestant.name}: ${action} failed: ${readFileSync(command.stdout, "utf8")}`);
  return all;
}
