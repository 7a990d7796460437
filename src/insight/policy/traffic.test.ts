import { expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import {
  allTraffic,
  describePoint,
  describeTraffic,
  holds,
  intersect,
  isEqual,
  noTraffic,
  pointOf,
  portRange,
  subtract,
  type Traffic,
  unite,
  uniteAll,
  wholeProtocol,
} from "./traffic.ts";

const tcp = (first: number, last = first): Traffic => portRange(6, first, last);

test("sets are said as people say them", () => {
  expect(describeTraffic(noTraffic)).toBe("nothing");
  expect(describeTraffic(allTraffic)).toBe("everything");
  expect(describeTraffic(uniteAll([tcp(443), tcp(80), portRange(17, 8000, 8010), wholeProtocol(132)]))).toBe(
    "TCP 80, 443; UDP 8000-8010; all SCTP",
  );
  expect(describeTraffic(subtract(allTraffic, uniteAll([tcp(25), wholeProtocol(47)])))).toBe(
    "everything but TCP 25; all protocol 47",
  );
  expect(describeTraffic(uniteAll([portRange(1, 8 * 256, 8 * 256 + 255), portRange(58, 1 * 256, 2 * 256 + 255)]))).toBe(
    "ICMP type 8; ICMPv6 types 1-2",
  );
  expect([describePoint(6, 80), describePoint(1, 8 * 256), describePoint(47, 0)]).toEqual([
    "TCP 80",
    "ICMP type 8 code 0",
    "protocol 47",
  ]);
});

test("operations equal those on the single points", () => {
  const random = seededRandom(7);
  const some = (): Traffic =>
    uniteAll(
      Array.from({ length: random.below(4) }, () => {
        const first = random.below(12);
        return random.below(5) === 0
          ? wholeProtocol(random.below(3))
          : portRange(random.below(3), first, first + random.below(4));
      }),
    );
  const points = [0, 1, 2, 255].flatMap((protocol) =>
    [...Array(17).keys(), 65_535].map((port) => pointOf(protocol, port)),
  );
  for (let round = 0; round < 2000; round++) {
    const [a, b] = [some(), some()];
    for (const point of points) {
      const [inA, inB] = [holds(a, point), holds(b, point)];
      expect([holds(unite(a, b), point), holds(intersect(a, b), point), holds(subtract(a, b), point)]).toEqual([
        inA || inB,
        inA && inB,
        inA && !inB,
      ]);
    }
    expect(isEqual(unite(subtract(a, b), intersect(a, b)), a)).toBe(true);
  }
});
