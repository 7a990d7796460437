import { expect, setDefaultTimeout, test } from "bun:test";
import { type Address, parseAddress } from "../../base/address.ts";
import { isCode, TwillError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { seededRandom } from "../../base/random.ts";
import { askPeer, serveChannel } from "./channel.ts";
import { makeKey } from "./key.ts";
import { PieceReader, seal, sessionKeys, unseal } from "./sealed.ts";

// This machine may be busy with much else.
setDefaultTimeout(60_000);

const random = seededRandom(11);
const key = makeKey(random);
const loopback = parseAddress("127.0.0.1");

let nextPort = 20_000 + (process.pid % 20_000);

function server(options: { readonly peerAt?: (address: Address) => string | undefined } = {}) {
  const port = nextPort++;
  const asked: unknown[] = [];
  const stop = serveChannel({
    port,
    key,
    random,
    log: silentLog,
    peerAt: options.peerAt ?? (() => "node2"),
    answer: async (peer, method, params) => {
      asked.push([peer, method, params]);
      if (method === "fail") throw new TwillError("not-found", "no such thing", { remedy: "look elsewhere" });
      if (method === "large") return "x".repeat(9 << 20);
      return { echo: params };
    },
  });
  const ask = (method: string, params: unknown, timeout = 20_000, other = key) =>
    askPeer(method, params, { address: loopback, port, key: other, random, timeout });
  return { port, asked, ask, [Symbol.dispose]: stop };
}

test("a question and its answer, large ones too; an error comes as it was thrown", async () => {
  using there = server();
  expect(await there.ask("walk", { to: "ü" })).toEqual({ echo: { to: "ü" } });
  expect(there.asked).toEqual([["node2", "walk", { to: "ü" }]]);
  expect(((await there.ask("large", {})) as string).length).toBe(9 << 20);
  expect(
    ((await there.ask("walk", { text: "y".repeat(200_000) })) as { echo: { text: string } }).echo.text.length,
  ).toBe(200_000);
  const error = await there.ask("fail", {}).catch((thrown: unknown) => thrown);
  expect(isCode(error, "not-found") && error.remedy).toBe("look elsewhere");
});

test("without the cluster's key, or from elsewhere, nothing is asked", async () => {
  using there = server();
  await expect(there.ask("walk", {}, 20_000, makeKey(random))).rejects.toThrow();
  expect(there.asked).toEqual([]);
  using strict = server({ peerAt: () => undefined });
  await expect(strict.ask("walk", {})).rejects.toThrow("hung up");
  expect(strict.asked).toEqual([]);
});

test("nobody there is said at once, and how to go on", async () => {
  const error = await askPeer("walk", {}, { address: loopback, port: 1, key, random, timeout: 20_000 }).catch(
    (thrown: unknown) => thrown,
  );
  expect(isCode(error, "unavailable") && error.remedy).toContain("twill-agent");
});

test("random bytes and replayed conversations reach nobody", async () => {
  using there = server();
  const send = (bytes: Uint8Array) =>
    new Promise<void>((resolve) => {
      void Bun.connect({
        hostname: "127.0.0.1",
        port: there.port,
        socket: { open: (socket) => void socket.end(bytes), data() {}, close: () => resolve(), error: () => resolve() },
      });
    });
  for (let round = 0; round < 50; round++) await send(random.bytes(random.below(200)));
  const recorded = Buffer.concat([
    Uint8Array.of(0x54, 0x57, 0x4c, 1),
    new Uint8Array(16),
    seal(
      sessionKeys(key, new Uint8Array(16), new Uint8Array(16)).toServer,
      0,
      new TextEncoder().encode('{"twill":1,"method":"walk"}'),
    ),
  ]);
  await send(new Uint8Array(recorded));
  expect(there.asked).toEqual([]);
});

test("a sealed frame: every changed bit is seen", () => {
  const { toServer } = sessionKeys(key, random.bytes(16), random.bytes(16));
  const plain = random.bytes(40);
  const frame = seal(toServer, 3, plain);
  const pieces = new PieceReader();
  for (const byte of frame) pieces.push(Uint8Array.of(byte));
  const body = pieces.frame(1000) ?? new Uint8Array();
  expect(unseal(toServer, 3, body)).toEqual(plain);
  expect(() => unseal(toServer, 4, body)).toThrow();
  for (let round = 0; round < 100; round++) {
    const changed = body.slice();
    const at = random.below(body.length);
    changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
    expect(() => unseal(toServer, 3, changed)).toThrow();
  }
  expect(() => new PieceReader().frame(10)).not.toThrow();
});
