import { expect, setDefaultTimeout, test } from "bun:test";
import { TwillError } from "../base/errors.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { type Question, readAsked } from "./questions.ts";

// This machine may be busy with much else.
setDefaultTimeout(60_000);

const words = [
  "pod",
  "wire",
  "10.1.1.1",
  "fd00::1",
  "default/a",
  "icmp",
  "0123456789abcdef",
  "__proto__",
  "../x",
  "",
  "eth0",
];
const keys = [
  "pod",
  "entry",
  "packet",
  "from",
  "source",
  "destination",
  "protocol",
  "size",
  "port",
  "places",
  "hosts",
  "vxlanPorts",
  "milliseconds",
  "bytes",
  "snapLength",
  "program",
  "id",
  "dns",
  "peers",
  "store",
  "device",
  "timeout",
  "encapsulation",
  "vni",
  "local",
  "remote",
  "destinationMac",
  "code",
  "jt",
  "jf",
  "k",
  "filter",
  "limit",
  "place",
  "kind",
  "name",
  "namespace",
  "network",
  "ends",
  "since",
  "to",
];

function value(random: Random, depth: number): unknown {
  switch (random.below(depth > 3 ? 4 : 6)) {
    case 0:
      return words[random.below(words.length)];
    case 1:
      return random.below(100_000) - 100;
    case 2:
      return random.below(2) === 0 ? null : true;
    case 3:
      return random.below(1000) / 7;
    case 4:
      return Array.from({ length: random.below(4) }, () => value(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(9) }, () => [keys[random.below(keys.length)], value(random, depth + 1)]),
      );
  }
}

test("whatever is asked, it is checked: parameters, or a TwillError", () => {
  const seed = Date.now() % 1e9;
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const questions = Object.keys(readAsked) as Question[];
  for (let round = 0; round < 30_000; round++) {
    const question = questions[random.below(questions.length)] as Question;
    const params = value(random, 0);
    try {
      const read = readAsked[question](params);
      // What is let through is what is let through again, on the next agent.
      expect(readAsked[question](JSON.parse(JSON.stringify(read)))).toEqual(read as never);
    } catch (error) {
      if (!(error instanceof TwillError)) throw error;
      expect(error.code).toBe("invalid");
    }
  }
});
