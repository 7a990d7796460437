import { TwillError } from "../../src/base/errors.ts";
import { ClaimStore } from "../../src/ipam/claim-store.ts";
import { openDatastore } from "../../src/store/open.ts";
import { datastoreKinds } from "../datastore-kinds.ts";
import { defaultDatastore } from "../defaults.ts";
import { boolean, text } from "../flags.ts";
import { NODES } from "../kinds.ts";
import { command } from "./command.ts";

const node = command({
  name: "node",
  usage: "NAME",
  summary: "Forget a node that is gone for good: its subnets are free again, and the others drop their routes to it",
  help: `
A node that only reboots keeps its subnet and needs nothing. Never do this to a node whose pods still run.

  twill delete node worker-7`,
  flags: {
    datastore: text(defaultDatastore, "where the cluster's state lives: embedded:FILE", "URL"),
    ignoreNotFound: boolean(false, "succeed when there is no such node"),
  },
  run: async ({ rest, flags }, output) => {
    const name = rest[0];
    if (name === undefined) throw new TwillError("invalid", "which node?", { remedy: "twill delete node NAME" });
    const store = await openDatastore(flags.datastore, { kinds: datastoreKinds() });
    try {
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
      if (!found && !flags.ignoreNotFound) {
        throw new TwillError("not-found", `there is no node ${name}`, { remedy: "twill get nodes lists them" });
      }
      if (found) output.out(`node ${name} deleted\n`);
      return 0;
    } finally {
      await store.close();
    }
  },
});

export const deleteCommand = command({
  name: "delete",
  summary: "Delete an object of the cluster",
  subcommands: [node],
});
