import { expect, test } from "bun:test";
import { connect } from "node:net";
import { seededRandom } from "../../../src/base/random.ts";
import { encodeFrame } from "../../../src/kernel/frame.ts";
import { encodeRequest } from "../../../src/rpc/message.ts";
import { failure, parsed, testNode, testPod } from "./test-node.fixture.ts";

/** Sends bytes as they are and waits until the service has answered or hung up. */
function send(path: string, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(path, () => socket.end(bytes));
    socket.on("data", () => socket.destroy());
    socket.on("close", () => resolve());
    socket.on("error", () => {});
    setTimeout(() => socket.destroy(), 300);
  });
}

test("whatever is sent to the agent's socket, pods stay and the next call works", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = seededRandom(seed);
  const node = testNode();
  await node.start();
  const pod = testPod();
  parsed(node.cni("ADD", "c1", pod));
  const before = JSON.stringify([node.report().endpoints, node.leftovers()]);
  const valid = { method: "cni", params: { variables: node.variables("ADD", "c2", undefined), config: node.config() } };
  const frames = [
    new Uint8Array(0),
    new Uint8Array([255, 255, 255, 255]),
    new Uint8Array([4, 0, 0, 0, 1]),
    encodeFrame(new Uint8Array(0)),
    encodeFrame(new Uint8Array([0, 1, 2])),
    encodeFrame(encodeRequest({ method: "cni", params: null })),
    encodeFrame(encodeRequest({ method: "cni", params: { variables: [], config: {} } })),
    encodeFrame(encodeRequest({ method: "__proto__", params: {} })),
    encodeFrame(encodeRequest({ ...valid, params: { ...valid.params, config: "[" } })),
    encodeFrame(encodeRequest(valid)), // ADD without a descriptor
  ];
  for (const frame of frames) await send(node.socket, frame);
  const genuine = encodeFrame(encodeRequest(valid));
  for (let round = 0; round < 40; round++) {
    const bytes = genuine.slice();
    for (let flips = random.below(6); flips >= 0; flips--) bytes[random.below(bytes.length)] = random.below(256);
    await send(node.socket, round % 2 === 0 ? bytes : random.bytes(random.below(200)));
  }
  expect([seed, JSON.stringify([node.report().endpoints, node.leftovers()])]).toEqual([seed, before]);
  expect(node.cni("DEL", "c1", pod).status).toBe(0);
}, 60_000);

test("a descriptor that is no network namespace is refused", async () => {
  const node = testNode();
  await node.start();
  const answer = node.cni("ADD", "c1", undefined);
  expect(failure(answer).code).toBe(4);
  expect(node.leftovers()).toEqual([]);
});
