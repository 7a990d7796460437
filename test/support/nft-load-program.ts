import { openNft } from "../../src/kernel/nft-socket.ts";
import { hostData, networkData } from "../../src/objects/nft-data.ts";

/** Loads as many elements as its argument says in one transaction, in the namespaces it is started in; prints how many are there. */
const at = { family: "inet", table: "twill" } as const;
const set = { ...at, set: "classes" };
const count = Number(process.argv[2]);
const elements = Array.from({ length: count }, (_, index) => ({ key: networkData(index), data: hostData(index) }));

const nft = openNft();
nft.transaction([
  { op: "table.add", table: { family: "inet", name: "twill", owner: true, persist: true } },
  {
    op: "set.add",
    set: { ...at, name: "classes", key: ["ipv4_addr"], keyLength: 4, data: { type: "mark", length: 4 }, size: count },
  },
  { op: "element.add", set, elements },
]);
console.log(nft.elements(set).length);
nft.close();
