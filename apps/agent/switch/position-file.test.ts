import { expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseNetConf } from "../../../src/intent/flannel/net-conf.ts";
import { named } from "./device-variant.ts";
import { PositionFile } from "./position-file.ts";

function place(): string {
  const folder = mkdtempSync(join(tmpdir(), "twill-position-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "position.json");
}
const conf = (backend: object) =>
  parseNetConf(JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan", ...backend } }));

test("what is kept comes back, with this node's names of devices", () => {
  const file = new PositionFile(place(), false);
  expect(file.load()).toBeUndefined();
  const first = conf({});
  const second = named(conf({ Port: 4789 }), [first]);
  expect(second.backend).toMatchObject({ port: 4789, variant: "b" });
  const kept = {
    boot: "boot-1",
    held: {
      epoch: 4,
      sends: "3",
      accepts: ["3", "4"],
      configs: new Map([
        ["3", first],
        ["4", second],
      ]),
    },
  };
  file.save(kept);
  expect(file.load()).toEqual(kept);
});

test("anything else is corrupt", () => {
  const path = place();
  for (const text of ["", "{", "[]", '{"version":2}', '{"version":1,"epoch":1,"sends":"1","accepts":[]}']) {
    writeFileSync(path, text);
    expect(() => new PositionFile(path, false).load()).toThrow(expect.objectContaining({ code: "corrupt" }));
  }
});

test("tunnels of one VNI have names of their own; the same tunnel keeps its name", () => {
  const first = conf({});
  const second = named(conf({ Port: 4789 }), [first]);
  const third = named(conf({ Port: 4790 }), [first, second]);
  expect(third.backend).toMatchObject({ variant: "c" });
  // MTU and DirectRouting are not the tunnel's.
  expect(named(conf({ Port: 4789, MTU: 1400 }), [first, second]).backend).toMatchObject({ variant: "b" });
  expect(named(conf({ VNI: 7 }), [first, second]).backend).not.toHaveProperty("variant");
  expect(named(conf({}), [second]).backend).not.toHaveProperty("variant");
});
