import { TwillError } from "../../src/base/errors.ts";
import { ClaimStore } from "../../src/ipam/claim-store.ts";
import type { Datastore } from "../../src/store/datastore.ts";
import { NODES } from "../kinds.ts";
import type { Output } from "./command.ts";

/** Forgets a node: its subnets are free again. @throws TwillError `not-found`. */
export async function deleteNode(store: Datastore, name: string, output: Output): Promise<void> {
  const claims = new ClaimStore(store, 0);
  let found = false;
  for (const object of await claims.list()) {
    const entry = claims.decode(object);
    if (entry?.claim?.node !== name || entry.claim.reserved) continue;
    found = (await claims.remove(entry)) || found;
    output.out(`subnet ${entry.subnet} is free\n`);
  }
  if ((await store.get(NODES, name)) !== undefined) {
    await store.delete(NODES, name);
    found = true;
  }
  if (!found) throw new TwillError("not-found", `there is no node ${name}`, { remedy: "twill get nodes lists them" });
  output.out(`node ${name} deleted\n`);
}
