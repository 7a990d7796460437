import { expect, test } from "bun:test";
import { desiredFor, node, picture, reconcilerIn, tunnel } from "./reconciler.fixture.ts";

test("with a state that may lack peers, nothing is removed and missing things are made; a complete one then cleans up", () => {
  const before = node();
  before.reconciler.setDesired(desiredFor([1, 2, 3]));
  before.settle();
  const full = picture(before);
  before.netns.run("ip", "route", "del", "10.244.1.0/24");

  const restarted = reconcilerIn(before.netns, before.far);
  restarted.reconciler.setDesired(desiredFor([1]), { complete: false });
  restarted.settle();
  expect(picture(before)).toEqual(full);

  restarted.reconciler.setDesired(desiredFor([1]));
  restarted.settle();
  expect(picture(before).some((line) => line.includes("10.244.1.0/24"))).toBe(true);
  expect(picture(before).some((line) => line.includes("10.244.2.0"))).toBe(false);
});

test("a tunnel that may still be wanted is spared, and is no reason to flush again at once", () => {
  const before = node();
  before.reconciler.setDesired(desiredFor([1], [tunnel({ vni: 7 }, "flannel.7")]));
  before.settle();
  const restarted = reconcilerIn(before.netns, before.far);
  restarted.reconciler.setDesired(desiredFor([1], [tunnel()]), { complete: false });
  expect(restarted.settle().retryIn).toBeUndefined();
  expect(before.netns.rtnl.link("flannel.7")).toBeDefined();
  restarted.reconciler.setDesired(desiredFor([1], [tunnel()]));
  restarted.settle();
  expect(before.netns.rtnl.link("flannel.7")).toBeUndefined();
});
