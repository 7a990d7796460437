import { expect, test } from "bun:test";
import { conflist } from "./conflist.ts";

test("routed is the default; what chains after ours is told its capability and gets a version that it knows", () => {
  expect(JSON.parse(conflist({ attachment: "routed", cniChain: [], runDir: "/run/twill" }))).toEqual({
    cniVersion: "1.1.0",
    name: "twill",
    plugins: [{ type: "twill-cni", capabilities: { ips: true, mac: true } }],
  });
  expect(JSON.parse(conflist({ attachment: "bridge", cniChain: ["portmap"], runDir: "/run/other" }))).toEqual({
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
  });
});

test("an unknown plugin is refused, with those that are known", () => {
  expect(() => conflist({ attachment: "routed", cniChain: ["port-map"], runDir: "/run/twill" })).toThrow(
    '"port-map" is not known',
  );
});
