import { expect, test } from "bun:test";
import { TwillError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { cniForm, decodeCniCall, encodeCniAnswer, encodeCniCall, isCniForm } from "./cni-form.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

test("a call is its variables as they stood in the environment, and its configuration", () => {
  const call = { variables: { CNI_COMMAND: "ADD", CNI_ARGS: "K=v;L=ü" }, config: '{"name":"x"}\n' };
  expect(encodeCniCall(call)).toEqual(bytes(`\x01CNI_COMMAND=ADD\0CNI_ARGS=K=v;L=ü\0\0{"name":"x"}\n`));
  expect(decodeCniCall(encodeCniCall(call))).toEqual(call);
  expect(isCniForm(encodeCniCall(call))).toBe(true);
  expect(isCniForm(bytes('{"twill":1}'))).toBe(false);
  expect(isCniForm(new Uint8Array())).toBe(false);
});

test("no variables, no configuration, a variable said twice", () => {
  expect(decodeCniCall(bytes("\x01\0"))).toEqual({ variables: {}, config: "" });
  expect(decodeCniCall(bytes("\x01CNI_IFNAME=a\0CNI_IFNAME=b\0\0"))).toEqual({
    variables: { CNI_IFNAME: "a" },
    config: "",
  });
});

test("what does not end, has no name or is no text is refused", () => {
  for (const wrong of ["\x01", "\x01CNI_COMMAND=ADD", "\x01CNI_COMMAND=ADD\0", "\x01CNI_COMMAND\0\0", "\x01=ADD\0\0"])
    expect(() => decodeCniCall(bytes(wrong))).toThrow(TwillError);
  expect(() => decodeCniCall(Uint8Array.from([cniForm, 65, 61, 0xff, 0, 0]))).toThrow("not UTF-8");
  expect(() => decodeCniCall(Uint8Array.from([cniForm, 0, 0xff]))).toThrow("not UTF-8");
  expect(() => decodeCniCall(bytes(`\x01${"A=\0".repeat(1000)}\0`))).toThrow("do not end");
});

test("an answer is its status and the text to print, with a line break", () => {
  expect(encodeCniAnswer({ status: 0, stdout: "" })).toEqual(Uint8Array.from([1, 0]));
  expect(encodeCniAnswer({ status: 1, stdout: "{}" })).toEqual(Uint8Array.from([1, 1, ...bytes("{}\n")]));
});

test("decode → encode → decode; random bytes are a call or a TwillError", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = seededRandom(seed);
  const valid = encodeCniCall({ variables: { CNI_COMMAND: "DEL", CNI_IFNAME: "eth0" }, config: "{}" });
  for (let round = 0; round < 3000; round++) {
    const wrong = round % 3 === 0 ? random.bytes(1 + random.below(64)) : valid.slice();
    for (let flips = random.below(4); flips > 0; flips--) wrong[random.below(wrong.length)] = random.below(256);
    wrong[0] = cniForm;
    try {
      const call = decodeCniCall(wrong);
      expect(decodeCniCall(encodeCniCall(call))).toEqual(call);
    } catch (error) {
      if (!(error instanceof TwillError)) throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
