import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { datastoreContract } from "../datastore.contract.ts";
import { openDatastore } from "../open.ts";
import { EmbeddedDatastore } from "./embedded.ts";

datastoreContract("embedded", async () => {
  const directory = mkdtempSync("/tmp/twill-store-");
  const path = join(directory, "store.db");
  const store = await EmbeddedDatastore.open(path);
  return {
    store,
    url: `embedded:${path}`,
    another: () => openDatastore(`embedded:${path}`),
    compact: () => store.compact({ events: 0 }),
    close: async () => rmSync(directory, { recursive: true }),
  };
});
