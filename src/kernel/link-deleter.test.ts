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
