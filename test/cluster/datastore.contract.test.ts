import { datastoreContract } from "../../src/store/datastore.contract.ts";
import { openDatastore } from "../../src/store/open.ts";
import { admin, namespace } from "./control-plane.fixture.ts";

datastoreContract("kubernetes", async () => {
  const { plane, kubeconfig, api } = await admin();
  const url = `kubernetes:${kubeconfig}?namespace=${await namespace(api)}`;
  return {
    store: await openDatastore(url),
    url,
    another: () => openDatastore(url),
    compact: () => plane.compact(),
    sendsAhead: true,
    close: async () => {},
  };
});
