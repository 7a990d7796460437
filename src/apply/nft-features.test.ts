import { expect, onTestFinished, test } from "bun:test";
import { FakeNft } from "../kernel/fake-nft.ts";
import { closeFile } from "../kernel/file.ts";
import { createNetns } from "../kernel/netns.ts";
import { openNft } from "../kernel/nft-socket.ts";
import type { NftData } from "../objects/nft-data.ts";
import type { NftFeature } from "../objects/nft-feature.ts";
import { describeMissing, missingFeatures } from "./nft-features.ts";

const at = { family: "inet", table: "twill-probe" } as const;
const feature = (name: string, hook: "prerouting" | "forward", type: "nat" | "filter"): NftFeature => ({
  name,
  since: "Linux 9.9",
  content: {
    table: { family: at.family, name: at.table },
    chains: [{ ...at, name: "trial", base: { type, hook, priority: 0, policy: "accept" } }],
    rules: [{ ...at, chain: "trial", expressions: [{ type: "immediate", to: 0, value: "00000000" as NftData }] }],
    sets: [],
  },
});

test.each(["kernel", "fake"])("what is missing is named, and nothing is left behind (%s)", (which) => {
  const netns = createNetns();
  const nft = which === "kernel" ? openNft({ netns }) : new FakeNft();
  onTestFinished(() => {
    nft.close();
    closeFile(netns);
  });
  // nf_tables has no nat on forward.
  const features = [feature("there", "forward", "filter"), feature("not there", "forward", "nat")];
  const missing = missingFeatures(nft, features);
  expect(missing.map((each) => each.feature.name)).toEqual(["not there"]);
  expect(missing.map(describeMissing).join()).toStartWith("not there (Linux 9.9): ");
  expect(nft.tables()).toEqual([]);
});
