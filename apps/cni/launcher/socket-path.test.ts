import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { encodeFrame } from "../../../src/kernel/frame.ts";
import { encodeCniAnswer } from "../../../src/rpc/cni-form.ts";
import { defaultSocket } from "./contract.ts";
import { type Architecture, architectures, LauncherFolder } from "./launcher.fixture.ts";

/** Which agent a configuration leads to, with agents at two paths and at the default one, each of which says its name. */
const folder = mkdtempSync(join(tmpdir(), "twill-launcher-path-"));
const longName = "l".repeat(107 - folder.length - 1);
const paths = ["one", "two", longName].map((name) => join(folder, name));
const listeners = [...paths, join(folder, "agent.sock")].map((unix) =>
  Bun.listen({
    unix,
    socket: {
      data: (peer) => {
        const stdout = unix.endsWith("agent.sock") ? defaultSocket : unix;
        peer.write(encodeFrame(encodeCniAnswer({ status: 0, stdout })));
      },
    },
  }),
);
const launchers = new Map(architectures.map((each) => [each, new LauncherFolder(each)]));
afterAll(() => {
  for (const listener of listeners) listener.stop(true);
  for (const launcher of launchers.values()) launcher.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** In a mount namespace where the default path is ours. */
const withDefaultPath = [
  ...["unshare", "--mount", "sh", "-c"],
  'mount -t tmpfs tmpfs /run && mkdir /run/twill && mount --bind "$0" /run/twill && exec "$@"',
  folder,
];

/** The socket's path, or undefined when the call is handed over. */
async function leadsTo(configuration: string | Uint8Array, architecture: Architecture): Promise<string | undefined> {
  const launcher = launchers.get(architecture);
  if (launcher === undefined) throw new Error("no launcher");
  const { stdout, stderr } = await launcher.run({ CNI_COMMAND: "ADD" }, configuration, withDefaultPath);
  expect(stderr).toBe("");
  return stdout.startsWith("handed over: ask, ADD") ? undefined : stdout.trimEnd();
}

const [one = "", two = "", long = ""] = paths;
const cases: readonly (readonly [configuration: string, path: string | undefined])[] = [
  [`{"socket":"${one}"}`, one],
  [`{"socket":"${long}"}`, long],
  [`{"socket":"${long}x"}`, undefined],
  [` { \n"name" : "x" ,\t"socket" \r\n:\t "${two}" } \n`, two],
  [`{"args":{"socket":"${two}"},"socket":"${one}","ips":[{"socket":1}]}`, one],
  ['{"name":"twill"}', defaultSocket],
  [`{"args":{"socket":"${one}"}}`, defaultSocket],
  [`{"list":["socket","${one}",{"socket":"${one}"}],"a":[[]],"b":{}}`, defaultSocket],
  [`{"socketPath":"${one}","socket2":"${one}","a socket":"${one}"}`, defaultSocket],
  [`{"brackets":"}}]]{{[[","socket":"${one}"}`, one],
  ['{"type":"socket"}', undefined],
  [`{"socket":"${one}","socket":"${two}"}`, undefined],
  [`{"\\u0073ocket":"${one}"}`, undefined],
  [`{"name":"a quote: \\" ","socket":"${one}"}`, undefined],
  [`{"socket":"${one.replaceAll("/", "\\/")}"}`, undefined],
  ['{"socket":null}', undefined],
  ['{"socket":["/x"]}', undefined],
  ['{"socket":"run/agent.sock"}', undefined],
  ['{"socket":""}', undefined],
  [`{"socket":"${one}\0"}`, undefined],
  [`{"socket":"${one}\n"}`, undefined],
  [`{"socket":"${one}`, undefined],
  ['{"socket":', undefined],
  ['{"socket', undefined],
  // Not JSON, which the agent shall say.
  ["socket", defaultSocket],
  ["}{", defaultSocket],
  ["\0\xff", defaultSocket],
];

for (const architecture of architectures) {
  test(`${architecture}: each way to write it leads where it says, or to the program that can read it`, async () => {
    for (const [configuration, path] of cases)
      expect([configuration, await leadsTo(configuration, architecture)]).toEqual([configuration, path]);
  }, 60_000);
}

/** JSON of objects that are full of brackets, quotes and sockets. */
function anyJson(random: Random, depth: number): string {
  const pick = (values: readonly string[]): string => values[random.below(values.length)] ?? "";
  const space = () => pick(["", "", " ", "\n\t", "  "]);
  const text = () =>
    pick([
      '"socket"',
      `"${one}"`,
      `"${two}"`,
      '"{"',
      '"]"',
      '"a:b"',
      '"x y"',
      random.below(8) === 0 ? '"\\"[\\\\"' : '""',
    ]);
  if (depth > 0 && random.below(3) === 0) return pick([text(), "1", "true", "null"]);
  const length = random.below(4);
  if (depth > 0 && random.below(2) === 0)
    return `[${Array.from({ length }, () => space() + anyJson(random, depth + 1) + space()).join(",")}]`;
  const entries = Array.from({ length }, () => {
    const key = pick(['"socket"', '"socket"', '"name"', '"args"', '"sockets"']);
    const value =
      key === '"socket"' && random.below(3) > 0 ? pick([`"${one}"`, `"${two}"`]) : anyJson(random, depth + 1);
    return `${space()}${key}${space()}:${space()}${value}${space()}`;
  });
  return `{${entries.join(",")}}`;
}

test("whatever JSON it is: where a parser says, or handed over", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = seededRandom(seed);
  let asked = 0;
  for (let round = 0; round < 150; round++) {
    const configuration = anyJson(random, 0);
    const { socket = defaultSocket } = JSON.parse(configuration);
    const found = await leadsTo(configuration, process.arch === "arm64" ? "arm64" : "x64");
    if (found === undefined) continue;
    asked++;
    expect([seed, configuration, found]).toEqual([seed, configuration, socket]);
  }
  expect(asked).toBeGreaterThan(30);
}, 120_000);
