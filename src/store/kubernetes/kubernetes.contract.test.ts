import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { datastoreContract } from "../datastore.contract.ts";
import { openDatastore } from "../open.ts";
import { FakeApiServer } from "./fake-api-server.fixture.ts";

// Against the real one: test/cluster/datastore.contract.test.ts.
datastoreContract("kubernetes, with a fake API server,", async () => {
  const directory = mkdtempSync("/tmp/twill-store-");
  const server = await FakeApiServer.start();
  const kubeconfig = join(directory, "kubeconfig");
  server.writeKubeconfig(kubeconfig);
  const url = `kubernetes:${kubeconfig}`;
  return {
    store: await openDatastore(url),
    url,
    another: () => openDatastore(url),
    compact: async () => {
      server.cutWatches();
      server.compact();
    },
    sendsAhead: true,
    close: async () => {
      await server.close();
      rmSync(directory, { recursive: true });
    },
  };
});
