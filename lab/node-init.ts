import { join } from "node:path";
import { mountDisk } from "./node-disk.ts";

/**
 * `twill lab node-init LAB NODE [kubernetes]`: run in a node's new mount namespace. Makes its file system, says so, and stays until
 * its input ends, while the lab opens the namespace; from then on the lab's descriptor keeps it.
 */
export async function nodeInit(labDirectory: string, node: string, kubernetes: boolean): Promise<void> {
  mountDisk(labDirectory, join(labDirectory, "nodes", node), kubernetes);
  process.stdout.write("ready\n");
  for await (const _ of Bun.stdin.stream());
}

export const nodeIsReady = "ready\n";
