import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LabApi } from "../lab/api.ts";
import { callLab } from "../lab/control.ts";
import { readRecord } from "../lab/directory.ts";
import { controlSocket } from "../lab/init.ts";
import { openNetns } from "../src/kernel/netns.ts";
import type { Cluster, Layout } from "./cluster.ts";
import { Namespace } from "./namespace.ts";

/** `twill lab up`: agents, CNI plugin and all. */
export async function layByTwill(programs: string, folder: string, { backend, name }: Layout): Promise<Cluster> {
  const config = join(folder, `${name.replaceAll(/\W+/g, "-")}.json`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(config, JSON.stringify({ Network: "10.244.0.0/16", Backend: backend }));
  const directory = join(folder, "lab");
  const twill = (command: string) => {
    const argv = [join(programs, "twill"), "lab", ...command.split(" ")];
    return Bun.spawnSync(argv, { env: { ...process.env, TWILL_LAB: directory }, stdio: ["ignore", "ignore", "pipe"] });
  };
  const down = () => void twill("down");
  // Before others look at the folder in which it lies.
  process.prependListener("exit", down);
  const { exitCode, stderr } = twill(`up --nodes 2 --subnets 1 --pods 2 --config ${config}`);
  if (exitCode !== 0) throw new Error(`twill lab up: exit ${exitCode}: ${stderr}`);

  const holder = readRecord(directory)?.init?.pid;
  if (holder === undefined) throw new Error("the lab has no first process");
  const call = <M extends keyof LabApi>(method: M, params: LabApi[M]["params"]) =>
    callLab<LabApi, M>(controlSocket(directory), method, params);
  const { view } = await call("status", null);
  const places = new Map<string, Namespace>();
  const addresses = new Map<string, string>();
  for (const node of view.subnets.flatMap(({ nodes }) => nodes)) {
    const pods = node.pods.map((pod) => ({ name: `${node.name}/${pod.name}`, address: pod.addresses[0] ?? "" }));
    for (const { name: pod, address } of pods) addresses.set(pod, address);
    for (const target of [node.name, ...pods.map((pod) => pod.name)]) {
      const { net } = await call("enter", { target });
      places.set(target, new Namespace(openNetns(`/proc/${holder}/fd/${net}`)));
    }
  }
  return {
    place: (place) => required(places.get(place), place),
    address: (pod) => required(addresses.get(pod), pod),
    close: () => {
      for (const netns of places.values()) netns.close();
      process.removeListener("exit", down);
      down();
    },
  };
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`the lab has no ${name}`);
  return value;
}
