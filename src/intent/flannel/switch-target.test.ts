import { expect, test } from "bun:test";
import { fuzz } from "../../../test/support/fuzz.ts";
import { parseNetConf } from "./net-conf.ts";
import { decodeSwitchTarget, encodeSwitchTarget, type SwitchTarget } from "./switch-target.ts";

const vxlan = parseNetConf('{"Network": "10.244.0.0/16"}');
const direct = parseNetConf('{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "DirectRouting": true}}');
const hostgw = parseNetConf('{"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}');

const target: SwitchTarget = {
  epoch: 3,
  id: "3",
  earlier: ["2", "1"],
  configs: new Map([
    ["3", hostgw],
    ["2", direct],
    ["1", vxlan],
  ]),
};

test("what is written is read: the target first, then the earlier ones", () => {
  expect(decodeSwitchTarget(encodeSwitchTarget(target), { allowExtension: true })).toEqual(target);
});

const object = (change: object) =>
  new TextEncoder().encode(
    JSON.stringify({ ...JSON.parse(new TextDecoder().decode(encodeSwitchTarget(target))), ...change }),
  );

test("what nobody wrote is corrupt, what a later version wrote is unsupported", () => {
  const one = { id: "1", network: { Network: "10.244.0.0/16" } };
  for (const change of [
    { configs: [] },
    { configs: [one, one] },
    { configs: [{ ...one, id: "a b" }] },
    { configs: [{ ...one, network: { Network: "10.244.0.1/16" } }] },
    { epoch: 0 },
  ])
    expect(() => decodeSwitchTarget(object(change), { allowExtension: true })).toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
  expect(() => decodeSwitchTarget(object({ version: 2 }), { allowExtension: true })).toThrow(
    expect.objectContaining({ code: "unsupported" }),
  );
});

test("any mutation is read or corrupt", () => {
  fuzz(
    [encodeSwitchTarget(target)],
    (bytes) => {
      try {
        return decodeSwitchTarget(bytes, { allowExtension: true });
      } catch (error) {
        // A digit of the version is as likely to be hit as any.
        if (error instanceof Error && "code" in error && error.code === "unsupported") return target;
        throw error;
      }
    },
    encodeSwitchTarget,
  );
}, 60_000);
