import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { NftTableKeeper } from "../src/apply/nft-table.ts";
import { type Address, addressFromBytes, bytesOf, familyOf, parseAddress } from "../src/base/address.ts";
import { silentLog } from "../src/base/log.ts";
import { everything, parsePrefix } from "../src/base/prefix.ts";
import { closeFile } from "../src/kernel/file.ts";
import { libc, systemCall } from "../src/kernel/libc.ts";
import { openNft } from "../src/kernel/nft-socket.ts";
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  listenSocket,
  openSocket,
  SOCK_DGRAM,
  SOCK_STREAM,
  setTimeouts,
  tryConnect,
  tryReceiveFrom,
  trySend,
} from "../src/kernel/socket.ts";
import { mainTable } from "../src/objects/route.ts";
import { masqueradeTable } from "../src/render/masquerade.ts";
import { type TestNetns, testNetns, vethPair } from "./support/netns.ts";

/**
 * Pod – node – outside, joined by veths. The outside also plays a pod of another node: it has an address of the cluster
 * network, and the node a route to it. What the far end sees as source is read from its own sockets.
 */
/** Each measurement its own, for the closed ones linger in TIME_WAIT. */
let port = 9000;
const pod = { 4: parseAddress("10.244.1.2"), 6: parseAddress("fd00:10:244:1::2") } as const;
const gateway = { 4: parseAddress("10.244.1.1"), 6: parseAddress("fd00:10:244:1::1") } as const;
const node = { 4: parseAddress("192.0.2.1"), 6: parseAddress("2001:db8::1") } as const;
const outside = { 4: parseAddress("192.0.2.2"), 6: parseAddress("2001:db8::2") } as const;
const remotePod = { 4: parseAddress("10.244.2.2"), 6: parseAddress("fd00:10:244:2::2") } as const;
const families = [4, 6] as const;

const networks = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")];
const masquerade = {
  networks,
  local: [parsePrefix("10.244.1.0/24"), parsePrefix("fd00:10:244:1::/64")],
  families: [...families],
};

interface Topology {
  readonly podNs: TestNetns;
  readonly nodeNs: TestNetns;
  readonly outsideNs: TestNetns;
}

function topology(): Topology {
  const [podNs, nodeNs, outsideNs] = [testNetns(), testNetns(), testNetns()];
  vethPair({ netns: podNs, name: "eth0" }, { netns: nodeNs, name: "pod" });
  vethPair({ netns: nodeNs, name: "uplink" }, { netns: outsideNs, name: "eth0" });
  nodeNs.enter(() => {
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    writeFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "1");
  });
  for (const family of families) {
    const length = family === 4 ? 24 : 64;
    address(podNs, "eth0", pod[family], length);
    address(nodeNs, "pod", gateway[family], length);
    address(nodeNs, "uplink", node[family], length);
    address(outsideNs, "eth0", outside[family], length);
    address(outsideNs, "eth0", remotePod[family], length);
    route(podNs, everything(family), gateway[family], "eth0");
    route(
      nodeNs,
      family === 4 ? parsePrefix("10.244.2.0/24") : parsePrefix("fd00:10:244:2::/64"),
      outside[family],
      "uplink",
    );
    route(
      outsideNs,
      family === 4 ? parsePrefix("10.244.1.0/24") : parsePrefix("fd00:10:244:1::/64"),
      node[family],
      "eth0",
    );
  }
  return { podNs, nodeNs, outsideNs };
}

function address(netns: TestNetns, device: string, value: Address, length: number): void {
  netns.rtnl.do({
    op: "address.add",
    address: { device: netns.indexOf(device), address: value, length, scope: "universe", noDad: true },
  });
}

function route(netns: TestNetns, destination: ReturnType<typeof parsePrefix>, via: Address, device: string): void {
  netns.rtnl.do({
    op: "route.add",
    route: {
      destination,
      type: "unicast",
      table: mainTable,
      protocol: 4,
      scope: "universe",
      metric: familyOf(via) === 6 ? 1024 : 0,
      gateway: via,
      device: netns.indexOf(device),
    },
  });
}

/** struct sockaddr_in, sockaddr_in6. */
function socketAddress(of: Address, at: number): Uint8Array {
  const bytes = new Uint8Array(familyOf(of) === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, familyOf(of) === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, at, false);
  bytes.set(bytesOf(of), familyOf(of) === 4 ? 4 : 8);
  return bytes;
}
const addressOf = (bytes: Uint8Array): Address =>
  addressFromBytes(bytes[0] === AF_INET ? bytes.slice(4, 8) : bytes.slice(8, 24));

/** The source address that `to` sees, by UDP and by TCP. */
function seen(from: TestNetns, source: Address, to: TestNetns, destination: Address): Record<"udp" | "tcp", Address> {
  const open = (netns: TestNetns, type: number): number => {
    const fd = netns.enter(() => openSocket(familyOf(destination) === 4 ? AF_INET : AF_INET6, type, 0));
    setTimeouts(fd, 5000);
    return fd;
  };
  const measure = (type: number, work: (server: number, client: number, peer: Uint8Array) => void): Address => {
    const [server, client] = [open(to, type), open(from, type)];
    try {
      bindSocket(server, socketAddress(destination, port));
      bindSocket(client, socketAddress(source, 0));
      const peer = new Uint8Array(28);
      work(server, client, peer);
      return addressOf(peer);
    } finally {
      closeFile(server);
      closeFile(client);
    }
  };
  const length = new Uint32Array([28]);
  port++;
  return {
    udp: measure(SOCK_DGRAM, (server, client, peer) => {
      // One datagram may be lost: the neighbour table is one for all namespaces of the machine, and other tests fill it.
      setTimeouts(server, 1000);
      let received = 0;
      for (let attempt = 0; attempt < 5 && received !== 1; attempt++) {
        expect(trySend(client, new Uint8Array([1]), 0, socketAddress(destination, port))).toBe(1);
        received = tryReceiveFrom(server, new Uint8Array(8), 0, peer, length);
      }
      expect(received).toBe(1);
    }),
    tcp: measure(SOCK_STREAM, (server, client, peer) => {
      listenSocket(server, 1);
      expect(tryConnect(client, socketAddress(destination, port))).toBe(0);
      length[0] = 28;
      closeFile(systemCall("accept4", () => libc.accept4(server, peer, length, 0)));
    }),
  };
}

test.each(families)(
  "IPv%i: pods leave with the node's address, and talk to each other with their own",
  (family) => {
    const { podNs, nodeNs, outsideNs } = topology();
    const nft = openNft({ netns: nodeNs.fd });
    const keeper = new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" });
    const both = (value: Address) => ({ udp: value, tcp: value });
    try {
      expect(seen(podNs, pod[family], outsideNs, outside[family])).toEqual(both(pod[family]));
      keeper.apply(masqueradeTable(masquerade));
      expect(seen(podNs, pod[family], outsideNs, outside[family])).toEqual(both(node[family]));
      expect(seen(podNs, pod[family], outsideNs, remotePod[family])).toEqual(both(pod[family]));
      expect(seen(outsideNs, remotePod[family], podNs, pod[family])).toEqual(both(remotePod[family]));
      // Clients from outside keep their address on the way to a pod, and their replies are not translated either.
      expect(seen(outsideNs, outside[family], podNs, pod[family])).toEqual(both(outside[family]));
      expect(seen(nodeNs, gateway[family], podNs, pod[family])).toEqual(both(gateway[family]));
      keeper.apply(masqueradeTable(undefined));
      expect(seen(podNs, pod[family], outsideNs, outside[family])).toEqual(both(pod[family]));
    } finally {
      nft.close();
    }
  },
  60_000,
);

test("nft lists the rules as a person would write them", () => {
  const netns = testNetns();
  const nft = openNft({ netns: netns.fd });
  try {
    new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" }).apply(masqueradeTable(masquerade));
    const lines = netns
      .run("nft", "list", "table", "inet", "twill")
      .split("\n")
      .map((line) => line.trim().replace(/ comment ".*"$/, ""));
    expect(lines).toContain("type filter hook forward priority filter; policy accept;");
    expect(lines).toContain("type nat hook postrouting priority srcnat; policy accept;");
    expect(lines).toContain("ip saddr 10.244.0.0/16 accept");
    expect(lines).toContain("ip6 daddr fd00:10:244::/56 accept");
    expect(lines).toContain("meta mark & 0x00004000 == 0x00004000 return");
    expect(lines).toContain("ip daddr 10.244.0.0/16 return");
    expect(lines).toContain("ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random");
    expect(lines).toContain("ip6 saddr fd00:10:244::/56 ip6 daddr != ff00::/8 masquerade fully-random");
  } finally {
    nft.close();
  }
});
