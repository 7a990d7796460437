import { onTestFinished } from "bun:test";
import { type TestNetns, testNetns } from "../../test/support/netns.ts";
import { bytesOf, parseAddress } from "../base/address.ts";
import type { NftExpression } from "../objects/nft-expression.ts";
import { closeFile } from "./file.ts";
import { openNft } from "./nft-socket.ts";
import { AF_INET, openSocket, SOCK_DGRAM, trySend } from "./socket.ts";

/** A namespace of its own whose output passes one rule. */
export function ruleOnOutput(expressions: readonly NftExpression[]): TestNetns {
  const netns = testNetns();
  const nft = openNft({ netns: netns.fd });
  onTestFinished(() => nft.close());
  const at = { family: "inet", table: "t" } as const;
  nft.transaction([
    { op: "table.add", table: { family: "inet", name: "t" } },
    {
      op: "chain.add",
      chain: { ...at, name: "c", base: { type: "filter", hook: "output", priority: 0, policy: "accept" } },
    },
    { op: "rule.add", rule: { ...at, chain: "c", expressions } },
  ]);
  return netns;
}

/** Sends UDP datagrams inside, as quickly as it can: to 127.0.0.1, ports from 2000 on, `ports` of them in turn. */
export function flood(netns: TestNetns, packets: number, ports: number): void {
  const fd = netns.enter(() => openSocket(AF_INET, SOCK_DGRAM, 0, { nonBlocking: true }));
  const destination = new Uint8Array(16);
  destination.set([AF_INET, 0, 0, 0, ...bytesOf(parseAddress("127.0.0.1"))]);
  const view = new DataView(destination.buffer);
  for (let count = 0; count < packets; count++) {
    view.setUint16(2, 2000 + (count % ports));
    trySend(fd, new Uint8Array(8), 0, destination);
  }
  closeFile(fd);
}

export async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 2000 && !condition(); round++) await Bun.sleep(5);
  if (!condition()) throw new Error("it did not come about");
}
