import { expect, setDefaultTimeout, test } from "bun:test";
import { testNetns, vethPair } from "../../test/support/netns.ts";
import { type Address, parseAddress } from "../base/address.ts";
import { ByteWriter } from "../base/bytes.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { closeFile } from "../kernel/file.ts";
import { PacketSocket } from "../kernel/packet-socket.ts";
import { encodeSockaddr } from "../kernel/sockaddr.ts";
import { AF_INET, AF_INET6, openSocket, SOCK_DGRAM, trySend } from "../kernel/socket.ts";
import { parseTcpdumpProgram } from "../wire/bpf.ts";
import { describeFrame, readFrame } from "../wire/packet.ts";
import { packetFilter } from "./packet-filter.ts";
import { networkHeader, type ProbePacket, transportHeader } from "./probe-packet.ts";

// This machine may be busy with much else.
setDefaultTimeout(60_000);

const address = (text: string): Address => parseAddress(text);

/** An Ethernet frame with this packet in it. */
function frameOf(packet: ProbePacket): Uint8Array {
  const type = packet.source.includes(":") ? 0x86dd : 0x0800;
  return new ByteWriter(200)
    .zero(12)
    .u16be(type)
    .raw(networkHeader(packet))
    .raw(transportHeader(packet))
    .zero(30)
    .bytes();
}

/** Two hosts on a wire; datagrams from the one are seen at the other. */
function wire() {
  const [sender, watcher] = [testNetns(), testNetns()];
  vethPair({ netns: sender, name: "eth0" }, { netns: watcher, name: "eth0" });
  for (const [index, netns] of [sender, watcher].entries()) {
    netns.run("ip", "address", "add", `192.168.0.${index + 1}/24`, "dev", "eth0");
    netns.run("ip", "-6", "address", "add", `fd00::${index + 1}/64`, "dev", "eth0", "nodad");
  }
  // Link-local addresses are being checked for duplicates at first, and nobody solicits before that is over.
  for (const to of ["192.168.0.2", "fd00::2"])
    sender.run("sh", "-c", `for try in $(seq 40); do ping -c1 -W1 ${to} && exit; sleep 0.25; done; exit 1`);
  const send = (to: string, port: number, payload: Uint8Array) =>
    sender.enter(() => {
      const fd = openSocket(to.includes(":") ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
      trySend(fd, payload, 0, encodeSockaddr(address(to), port));
      closeFile(fd);
    });
  const vxlan = (to: string, packet: ProbePacket, port = 8472) =>
    send(
      to,
      port,
      new ByteWriter(300)
        .u32be(0x0800_0000)
        .u32be(1 << 8)
        .raw(frameOf(packet))
        .bytes(),
    );
  const watch = (hosts: readonly [Address] | readonly [Address, Address], expression?: string) => {
    const program =
      expression === undefined
        ? undefined
        : parseTcpdumpProgram(watcher.run("tcpdump", "-i", "eth0", "-ddd", expression));
    return PacketSocket.open(watcher.fd, {
      device: watcher.indexOf("eth0"),
      filter: packetFilter({ hosts, vxlanPorts: [8472] }, program),
      snapLength: 300,
      buffer: 1 << 20,
    });
  };
  return { send, vxlan, watch };
}

function all(socket: PacketSocket): string[] {
  const seen: string[] = [];
  for (let packet = socket.read(); packet !== undefined; packet = socket.read()) {
    const frame = readFrame(packet.bytes, 8472);
    if (frame !== undefined) seen.push(describeFrame(frame.packet?.vxlan?.frame ?? frame));
  }
  socket.close();
  return seen;
}

const packets: readonly ProbePacket[] = ["10.1.0.2", "fd01::2"].flatMap((source) =>
  (["tcp", "udp", "icmp"] as const).map((protocol) => ({
    source: address(source),
    destination: address(source.includes(":") ? "fd01:1::2" : "10.1.1.2"),
    protocol,
    sourcePort: 4000,
    destinationPort: 80,
    size: 60,
  })),
);

test("in a tunnel over IPv4 and over IPv6, both families are found by their addresses", () => {
  const { vxlan, watch } = wire();
  for (const outer of ["192.168.0.2", "fd00::2"]) {
    for (const packet of packets) {
      const sockets = [
        watch([packet.source]),
        watch([packet.destination]),
        watch([packet.destination, packet.source]),
        watch([packet.source, address(packet.source.includes(":") ? "fd01:1::3" : "10.1.1.3")]),
      ];
      vxlan(outer, packet);
      expect(sockets.map((socket) => all(socket).length)).toEqual([1, 1, 1, 0]);
    }
  }
});

test("plain packets are found as well; other ports are no tunnels", () => {
  const { send, vxlan, watch } = wire();
  const [sender, receiver, inside] = [
    watch([address("192.168.0.1")]),
    watch([address("fd00::1"), address("fd00::2")]),
    watch([address("10.1.0.2")]),
  ];
  send("192.168.0.2", 5000, new Uint8Array(10));
  send("fd00::2", 5000, new Uint8Array(10));
  for (const packet of packets) vxlan("192.168.0.2", packet, 4789);
  expect(all(sender).filter((line) => line.includes(".5000 UDP"))).toHaveLength(1);
  expect(all(receiver).filter((line) => line.includes("UDP"))).toHaveLength(1);
  expect(all(inside)).toEqual([]);
});

test("tcpdump's filter holds inside the tunnel", () => {
  const { vxlan, watch } = wire();
  const expressions = [
    "tcp port 80",
    "udp",
    "port 81",
    "icmp[icmptype] == icmp-echo",
    "ip6 and tcp dst port 80",
    "src port 4000 and not udp",
    "net 10.1.0.0/16 and ip[8] > 3",
    "tcp[tcpflags] & tcp-syn != 0",
  ];
  const sockets = expressions.map((expression) => [
    watch([address("10.1.0.2")], expression),
    watch([address("fd01::2")], expression),
  ]);
  for (const packet of packets) vxlan("192.168.0.2", packet);
  const counts = sockets.map((pair) => pair.map((socket) => all(socket).length));
  expect(Object.fromEntries(expressions.map((expression, index) => [expression, counts[index]]))).toEqual({
    "tcp port 80": [1, 1],
    udp: [1, 1],
    "port 81": [0, 0],
    "icmp[icmptype] == icmp-echo": [1, 0],
    "ip6 and tcp dst port 80": [0, 1],
    "src port 4000 and not udp": [1, 1],
    "net 10.1.0.0/16 and ip[8] > 3": [3, 0],
    "tcp[tcpflags] & tcp-syn != 0": [1, 0],
  });
});

test("what tcpdump prints is checked; lengths cannot be asked for inside a tunnel", () => {
  for (const text of ["", "1\n", "2\n6 0 0 0", "1\n6 0 0 -1", "1\n6 0 0 0 0", "1\nx 0 0 0", "1\n6 300 0 0"])
    expect(() => parseTcpdumpProgram(text)).toThrow();
  const { watch } = wire();
  expect(() => watch([address("10.1.0.2")], "greater 100")).toThrow("packet length");
});

test("whatever bytes come, reading a frame throws nothing", () => {
  const random: Random = seededRandom(5);
  for (let round = 0; round < 20_000; round++) {
    const whole =
      random.below(2) === 0
        ? random.bytes(random.below(120))
        : frameOf(packets[random.below(packets.length)] as ProbePacket);
    const bytes = whole.slice(0, random.below(whole.length + 1));
    if (bytes.length > 0 && random.below(2) === 0) bytes[random.below(bytes.length)] = random.below(256);
    if (bytes.length > 14) bytes.set(random.below(2) === 0 ? [0x08, 0x00] : [0x86, 0xdd], 12);
    const frame = readFrame(bytes, 80);
    if (frame !== undefined) expect(describeFrame(frame)).toBeString();
  }
});
