import { expect, test } from "bun:test";
import { conflist } from "./conflist.ts";

const plain = { attachment: "routed", cniChain: [], cniVersion: "auto", runDir: "/run/twill" } as const;

test("routed is the default; what chains after ours is told its capability and gets a version that it knows", () => {
  expect(JSON.parse(conflist(plain))).toEqual({
    cniVersion: "1.1.0",
    name: "twill",
    plugins: [{ type: "twill-cni", capabilities: { ips: true, mac: true } }],
  });
  expect(JSON.parse(conflist({ ...plain, attachment: "bridge", cniChain: ["portmap"], runDir: "/run/other" }))).toEqual(
    {
      cniVersion: "1.0.0",
      name: "twill",
      plugins: [
        {
          type: "twill-cni",
          capabilities: { ips: true, mac: true },
          attachment: "bridge",
          hairpinMode: true,
          socket: "/run/other/agent.sock",
        },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    },
  );
});

test("an unknown plugin is refused, with those that are known", () => {
  expect(() => conflist({ ...plain, cniChain: ["port-map"] })).toThrow('"port-map" is not known');
});

test("who knows that the chain speaks it gets CNI 1.1 with a chain", () => {
  const { cniVersion, plugins } = JSON.parse(conflist({ ...plain, cniChain: ["portmap"], cniVersion: "1.1.0" }));
  expect([cniVersion, plugins.length]).toEqual(["1.1.0", 2]);
});
