import { expect, test } from "bun:test";
import { parseAddress } from "../../base/address.ts";
import { backendContract, dualStack, lease, localNode, onlyFamily } from "../backend.contract.ts";
import { hostgw } from "./hostgw.ts";

const config = { type: "host-gw" } as const;
const far = parseAddress("172.16.0.9");

backendContract("host-gw", {
  backend: hostgw,
  config,
  data: () => ({}),
  spoil: (good) => ({ ...good, addresses: [far, parseAddress("fd02::9")] }),
  overhead: { 4: 0, 6: 0 },
});

test("host-gw routes by the peer's own address", () => {
  const network = onlyFamily(dualStack(config), 4);
  expect(hostgw.peerPlanner(config, network, localNode([]))(lease("host-gw", 3, {})).routes).toMatchObject([
    { destination: "10.244.3.0/24", device: "eth0", gateway: "192.168.0.4", onlink: false },
  ]);
});

test("host-gw names the node out of reach, its address and the way out", () => {
  const network = onlyFamily(dualStack(config), 4);
  const peer = { ...lease("host-gw", 3, {}), addresses: [far] };
  const [problem] = hostgw.peerPlanner(config, network, localNode([]))(peer).problems;
  expect(problem?.message).toBe(
    "node node-003 at 172.16.0.9 is out of host-gw's reach: not on the link of eth0 (192.168.0.0/24, fd01::/64)",
  );
  expect(problem?.remedy).toContain("DirectRouting");
});
