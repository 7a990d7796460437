import { expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import type { Prefix } from "../../src/base/prefix.ts";
import { openNft } from "../../src/kernel/nft-socket.ts";
import { testNetns } from "../../test/support/netns.ts";
import { FirewallWatch } from "./firewall-watch.ts";

test("Docker's FORWARD policy is named while it is there; conditional drops and our own table are not", () => {
  const node = testNetns();
  let changes = 0;
  const nft = openNft({ netns: node.fd });
  const watch = new FirewallWatch(nft, silentLog, () => changes++);
  const messages = () => watch.problems(["10.244.0.0/16" as Prefix]).map((problem) => problem.message);
  const after = (rules: string) => {
    node.run("nft", rules);
    watch.look();
    return messages();
  };
  expect(after("add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; }")).toEqual(
    [],
  );
  expect(after("add rule ip filter FORWARD ct state invalid drop")).toEqual([]);
  expect(after("add chain ip filter FORWARD { policy drop; }")).toEqual([
    expect.stringContaining("ip filter FORWARD: policy drop"),
  ]);
  expect(
    after("add table inet twill; add chain inet twill x { type filter hook forward priority 0; policy drop; }"),
  ).toHaveLength(1);
  expect(after("delete table ip filter")).toEqual([]);
  expect(changes).toBe(2);
  watch.stop();
  nft.close();
});
