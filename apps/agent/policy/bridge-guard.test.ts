import { expect, onTestFinished, test } from "bun:test";
import { hostDeviceName } from "../../../src/attach/host-device.ts";
import type { Address } from "../../../src/base/address.ts";
import { TwillError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { Mac } from "../../../src/base/mac.ts";
import { FakeNft } from "../../../src/kernel/fake-nft.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { createNetns } from "../../../src/kernel/netns.ts";
import { openNft } from "../../../src/kernel/nft-socket.ts";
import { interfaceData } from "../../../src/objects/nft-data.ts";
import { BridgeGuard, removeBridgeGuard } from "./bridge-guard.ts";

const key = (containerId: string) => ({ network: "twill", containerId, ifname: "eth0" });
const mac = "02:00:00:00:00:01" as Mac;
const addresses = ["10.0.0.1", "fd00::1"] as Address[];
const log = silentLog;

test("it stands as long as there is policy, with the pods of the moment; a restart goes on from it, and without policy it goes", () => {
  const netns = createNetns();
  onTestFinished(() => closeFile(netns));
  const agent = () => {
    const nft = openNft({ netns });
    return { nft, guard: new BridgeGuard({ nft, log, podInterfaces: "twl" }) };
  };
  const first = agent();
  const ports = (nft: typeof first.nft) =>
    nft.elements({ family: "bridge", table: "twill", set: "ports" }).map((element) => element.key.slice(0, 32));
  const portOf = (id: string) => interfaceData(hostDeviceName(key(id))) as string;
  const { guard, nft } = first;
  guard.put(key("a"), mac, addresses);
  guard.enforce(false);
  expect(nft.tables("bridge")).toEqual([]);
  guard.enforce(true);
  expect(ports(nft)).toEqual([portOf("a")]);
  guard.put(key("b"), mac, addresses);
  expect(ports(nft).toSorted()).toEqual([portOf("a"), portOf("b")].toSorted());
  expect(nft.elements({ family: "bridge", table: "twill", set: "addresses6" })).toHaveLength(2);
  guard.remove(key("a"));
  guard.remove(key("nobody"));
  expect(ports(nft)).toEqual([portOf("b")]);
  guard.stop();
  nft.close();

  const second = agent();
  second.guard.put(key("c"), mac, addresses);
  expect(ports(second.nft)).toEqual([portOf("b")]);
  second.guard.enforce(true);
  expect(ports(second.nft)).toEqual([portOf("c")]);
  second.guard.enforce(false);
  expect(second.nft.tables("bridge")).toEqual([]);
  second.guard.enforce(true);
  second.guard.stop();
  second.nft.close();

  const third = openNft({ netns });
  expect(third.tables("bridge")).toHaveLength(1);
  removeBridgeGuard(third, log);
  expect(third.tables("bridge")).toEqual([]);
  third.close();
});

test("what fails is said, keeps nobody waiting, and is tried again; a pod that could send nothing is not added", async () => {
  const nft = new FakeNft();
  const guard = new BridgeGuard({ nft, log, podInterfaces: "twl" });
  onTestFinished(() => guard.stop());
  const transaction = nft.transaction.bind(nft);
  const refuse = () => {
    throw new TwillError("unsupported", "no such family");
  };
  nft.transaction = refuse;
  guard.enforce(true);
  expect(guard.problems.map(({ reason }) => reason)).toEqual(["BridgeNotGuarded"]);
  guard.put(key("a"), mac, addresses);
  nft.transaction = transaction;
  for (const deadline = performance.now() + 20_000; guard.problems.length > 0; await Bun.sleep(20))
    if (performance.now() > deadline) throw new Error("it is not tried again");
  expect(nft.elements({ family: "bridge", table: "twill", set: "ports" })).toHaveLength(1);
  nft.transaction = refuse;
  expect(() => guard.put(key("b"), mac, addresses)).toThrow("no such family");
}, 30_000);
