import { expect, test } from "bun:test";
import { Partition } from "./partition.ts";

const parts = (partition: Partition<string>, ...members: readonly string[]) =>
  members.map((one) => partition.numberOf(one));

function grouped(...groups: readonly (readonly string[])[]): Partition<string> {
  const partition = new Partition<string>(1);
  groups.forEach((members, index) => {
    for (const member of members) partition.set(member, `content ${index}`);
  });
  partition.settle();
  return partition;
}

test("a content that all its members take on keeps the number", () => {
  const partition = grouped(["a", "b"], ["c"]);
  const before = parts(partition, "a", "b", "c");
  for (const member of ["a", "b"]) partition.set(member, "another");
  const { members, numbers } = partition.settle();
  expect(parts(partition, "a", "b", "c")).toEqual(before);
  expect(members).toEqual([]);
  expect([...numbers]).toEqual([[before[0] ?? 0, "another"]]);
});

test("of two parts the larger keeps the number, whichever of them changed", () => {
  for (const leaving of [["a"], ["a", "b", "c"]]) {
    const partition = grouped(["a", "b", "c", "d"]);
    const number = partition.numberOf("a");
    for (const member of leaving) partition.set(member, "new");
    const { members } = partition.settle();
    expect(members).toEqual([leaving.length === 1 ? "a" : "d"]);
    expect(partition.numberOf(leaving.length === 1 ? "d" : "a")).toBe(number);
  }
});

test("when two become one, the larger's number stays", () => {
  const partition = grouped(["a", "b", "c"], ["d"]);
  const number = partition.numberOf("a");
  for (const member of ["a", "b", "c"]) partition.set(member, "content 1");
  expect(partition.settle().members).toEqual(["d"]);
  expect(parts(partition, "a", "d")).toEqual([number, number]);
});

test("two that go on never swap their numbers", () => {
  const partition = grouped(["a", "b", "c"], ["d"]);
  const before = parts(partition, "a", "d");
  for (const member of ["b", "c"]) partition.set(member, "content 1");
  expect(partition.settle().members).toEqual(["b", "c"]);
  expect(parts(partition, "a", "d")).toEqual(before);
});

test("a member without content has the number 0, and a freed number is used again", () => {
  const partition = grouped(["a"], ["b"]);
  const freed = partition.numberOf("a");
  partition.set("a", undefined);
  const { gone, numbers } = partition.settle();
  expect(gone).toEqual(["content 0"]);
  expect([...numbers]).toEqual([[freed, undefined]]);
  expect(partition.numberOf("a")).toBe(0);
  partition.set("c", "later");
  partition.settle();
  expect(partition.numberOf("c")).toBe(freed);
});

test("newcomers vote with the numbers that they bear already", () => {
  const partition = new Partition<string>(1);
  for (const member of ["a", "b", "c"]) partition.set(member, member === "c" ? "y" : "x");
  const borne = new Map([
    ["a", 7],
    ["b", 9],
    ["c", 9],
  ]);
  partition.settle((member) => [[borne.get(member) ?? 0, member === "a" ? 2 : 1]]);
  expect(parts(partition, "a", "b", "c")).toEqual([7, 7, 9]);
});
