import { expect, test } from "bun:test";
import { testNetns } from "../../test/support/netns.ts";
import { TwillError } from "../base/errors.ts";
import { LinkDeleter } from "./link-deleter.ts";

test("a deleted link is gone from both namespaces when delete returns, for 60 in a row", () => {
  const node = testNetns();
  const pod = testNetns();
  const deleter = new LinkDeleter(node.rtnl, node.fd);
  for (let index = 0; index < 60; index++) {
    const peer = { name: `p${index}`, netns: pod.fd };
    node.rtnl.do({ op: "link.add", spec: { name: `v${index}`, kind: { type: "veth" }, peer } });
  }
  for (let index = 0; index < 60; index++) {
    deleter.delete(node.indexOf(`v${index}`));
    expect(node.rtnl.link(`v${index}`)).toBeUndefined();
    expect(pod.rtnl.link(`p${index}`)).toBeUndefined();
  }
  deleter.close();
  expect(node.rtnl.links()).toHaveLength(1);
});

test("a link that is not there is no error; one that cannot be deleted is", () => {
  const node = testNetns();
  const deleter = new LinkDeleter(node.rtnl, node.fd);
  deleter.delete(4711);
  expect(() => deleter.delete(1)).toThrow(TwillError);
  deleter.delete(4711);
  deleter.close();
});

test("several go together with their peers, and nothing else does", () => {
  const node = testNetns();
  const pod = testNetns();
  const deleter = new LinkDeleter(node.rtnl, node.fd);
  for (let round = 0; round < 5; round++) {
    for (let index = 0; index < 20; index++) {
      const peer = { name: `p${index}`, netns: pod.fd };
      node.rtnl.do({ op: "link.add", spec: { name: `v${index}`, kind: { type: "veth" }, peer } });
    }
    const indexes = Array.from({ length: 19 }, (_, index) => node.indexOf(`v${index}`));
    // Two that are not there, and `lo`, which the kernel deletes never: with it in the group, it refuses all of them.
    deleter.deleteTogether(round === 0 ? [...indexes, 1] : [...indexes, 4711, 4712]);
    if (round === 0) {
      expect(node.rtnl.links()).toHaveLength(21);
      node.run("ip", "link", "set", "lo", "group", "default");
      for (const index of indexes) deleter.delete(index);
    }
    expect(node.rtnl.links().map(({ name }) => name)).toEqual(["lo", "v19"]);
    expect(pod.rtnl.links().map(({ name }) => name)).toEqual(["lo", "p19"]);
    deleter.delete(node.indexOf("v19"));
  }
  deleter.deleteTogether([]);
  deleter.close();
});
