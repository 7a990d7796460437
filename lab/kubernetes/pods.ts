import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Address, familyOf } from "../../src/base/address.ts";
import { closeFile, O_RDONLY, openFile } from "../../src/kernel/file.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";
import type { Cluster } from "../cluster.ts";
import type { LabNode } from "../node.ts";
import { onDisk } from "../node-disk.ts";
import type { ProbePlace } from "../probe/place.ts";
import type { ControlMachine } from "./control-machine.ts";

/** Kubernetes' pods as the prober sees them, their namespaces open while `work` runs. None in a lab without Kubernetes. */
export async function withKubernetesPods<T>(
  cluster: Cluster,
  work: (pods: readonly ProbePlace[]) => Promise<T>,
): Promise<T> {
  const { control } = cluster;
  if (control === undefined) return await work([]);
  const names = await podNames(control);
  const places = cluster.nodes.filter((node) => node.isOn).flatMap((node) => podsOf(node, names));
  try {
    return await work(places);
  } finally {
    for (const { netns } of places) closeFile(netns);
  }
}

/** By address, for a network namespace does not say whose it is: "default/web-7d66468b75-26fsp". */
async function podNames(control: ControlMachine): Promise<ReadonlyMap<string, string>> {
  const { items } = JSON.parse((await control.client.get("/api/v1/pods")) ?? '{"items":[]}') as PodList;
  return new Map(
    items.flatMap(({ metadata, spec, status }) =>
      spec.hostNetwork === true
        ? []
        : (status.podIPs ?? []).map(({ ip }) => [ip, `${metadata.namespace}/${metadata.name}`] as const),
    ),
  );
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly namespace: string; readonly name: string };
    readonly spec: { readonly hostNetwork?: boolean };
    readonly status: { readonly podIPs?: readonly { readonly ip: string }[] };
  }[];
}

function podsOf(node: LabNode, names: ReadonlyMap<string, string>): ProbePlace[] {
  const folder = onDisk(node.directory, "/run/netns");
  return readdirSync(folder).flatMap((file) => {
    const netns = openFile(join(folder, file), O_RDONLY);
    const addresses = addressesIn(netns);
    const name = addresses.map((address) => names.get(address)).find((found) => found !== undefined);
    if (name === undefined) {
      closeFile(netns); // not reported yet, or going
      return [];
    }
    const { name: nodeName, subnet } = node.plan;
    const byFamily = Object.fromEntries(addresses.map((address) => [familyOf(address), address]));
    const endpoint = { name, kind: "pod", node: nodeName, subnet: subnet.name, addresses: byFamily } as const;
    return [{ ...endpoint, netns, counters: node.power.rtnl }];
  });
}

/** Global ones, of its network card. */
function addressesIn(netns: number): Address[] {
  const rtnl = openRtnl({ netns });
  try {
    const card = rtnl.link("eth0");
    if (card === undefined) return [];
    return rtnl
      .addresses({ device: card.index })
      .filter(({ scope }) => scope === "universe")
      .map(({ address }) => address);
  } finally {
    rtnl.close();
  }
}
