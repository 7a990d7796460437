import { expect, test } from "bun:test";
import type { ExtensionConfig } from "../../model/network.ts";
import { backendContract, dualStack, lease, localNode, onlyFamily } from "../backend.contract.ts";
import { extension } from "./extension.ts";

const config: ExtensionConfig = {
  type: "extension",
  preStartup: "make-device",
  postStartup: "set-address",
  subnetAdd: "ip route add $SUBNET via $PUBLIC_IP",
  subnetRemove: "ip route del $SUBNET via $PUBLIC_IP",
};

backendContract("extension", {
  backend: extension,
  config,
  data: (peer) => ({ 4: `data of ${peer}`, 6: `data of ${peer}` }),
  spoil: (good) => ({ ...good, backendData: { 4: { not: "a text" }, 6: 7 } }),
  overhead: { 4: 0, 6: 0 },
});

test("commands get Flannel's environment and input", () => {
  const network = onlyFamily(dualStack(config), 4);
  const plan = extension.plan(config, network, localNode([]));
  const peer = extension.peerPlanner(config, network, localNode([]))(lease("extension", 3, { 4: "0e:00" }));
  expect(plan.commands?.preStartup).toEqual({ shell: "make-device", environment: {}, stdin: "\n" });
  expect(plan.commands?.postStartup?.environment).toMatchObject({
    NETWORK: "10.244.0.0/16",
    SUBNET: "10.244.0.0/24",
    PUBLIC_IP: "192.168.0.1",
  });
  expect(peer.commands).toMatchObject({
    add: {
      shell: "ip route add $SUBNET via $PUBLIC_IP",
      environment: { SUBNET: "10.244.3.0/24", PUBLIC_IP: "192.168.0.4" },
      stdin: "0e:00\n",
    },
    remove: { shell: "ip route del $SUBNET via $PUBLIC_IP" },
  });
});

test("commands that are not configured are not there", () => {
  const [bare, network] = [{ type: "extension" } as const, dualStack(config)];
  expect(extension.plan(bare, network, localNode([])).commands).toEqual({});
  expect(extension.peerPlanner(bare, network, localNode([]))(lease("extension", 3, {})).commands).toEqual({});
});

test("what PreStartupCommand printed is the lease's BackendData", () => {
  const network = onlyFamily(dualStack(config), 4);
  const local = { ...localNode([]), preStartupOutput: "0e:12" };
  expect(extension.advertise(config, network, local)).toEqual({
    backendType: "extension",
    backendData: { 4: "0e:12" },
  });
});
