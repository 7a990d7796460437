import { testNetns } from "../../test/support/netns.ts";
import { FakeNetwork } from "./fake-network.ts";
import { rtnlContract } from "./rtnl.contract.ts";

rtnlContract("the kernel", () => {
  const [a, b] = [testNetns(), testNetns()];
  return { rtnl: a.rtnl, other: { rtnl: b.rtnl, fd: b.fd } };
});

rtnlContract("the fake", () => {
  const network = new FakeNetwork();
  const [rtnl, other] = [network.namespace(1), network.namespace(2)];
  for (const each of [rtnl, other]) each.do({ op: "link.set", index: 1, change: { up: true } });
  return { rtnl, other: { rtnl: other, fd: 2 } };
});
