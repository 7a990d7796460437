import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseAddress } from "../../src/base/address.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { inNetns } from "../../src/kernel/netns.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import {
  AF_INET,
  bindSocket,
  MSG_DONTWAIT,
  openSocket,
  SOCK_DGRAM,
  tryReceiveFrom,
  trySend,
} from "../../src/kernel/socket.ts";
import { found, Patient, told } from "./doctor.fixture.ts";

/** What needs a cluster of its own: pods on a bridge, another plugin, a DNS server that answers. */

test("pods on a bridge: healthy; without br_netfilter; with another plugin; with and without a DNS server", async () => {
  await using patient = await Patient.up({ nodes: 2, pods: 1, agentFlags: ["--attachment=bridge"] });
  const first = await patient.doctor("node1", "--all");
  expect([found(first), told(first)]).toEqual([[], told(first)]);

  await patient.lab.on("node1", "sysctl -qw net.bridge.bridge-nf-call-iptables=0");
  const bridged = await patient.doctor("node1", "--all");
  expect([found(bridged), told(bridged)]).toEqual([["node1 br-netfilter"], told(bridged)]);
  expect(told(bridged)).toContain("modprobe br_netfilter");
  await patient.lab.on("node1", "sysctl -qw net.bridge.bridge-nf-call-iptables=1");

  const outside = await patient.lab.netns("outside");
  const server = inNetns(outside, () => openSocket(AF_INET, SOCK_DGRAM, 0, { nonBlocking: true }));
  const asked: number[] = [];
  try {
    bindSocket(server, encodeSockaddr(parseAddress("203.0.113.10"), 53));
    const buffer = new Uint8Array(512);
    const from = new Uint8Array(16);
    const timer = setInterval(() => {
      const length = tryReceiveFrom(server, buffer, MSG_DONTWAIT, from, new Uint32Array(1));
      if (length <= 0) return;
      asked.push(length);
      // QR: it is an answer (RFC 1035 section 4.1.1).
      buffer[2] = (buffer[2] ?? 0) | 0x80;
      trySend(server, buffer.subarray(0, length), 0, from);
    }, 5);
    const answered = await patient.doctor("node1", "--dns 203.0.113.10");
    clearInterval(timer);
    expect([found(answered), asked.length > 0, told(answered)]).toEqual([[], true, told(answered)]);
  } finally {
    closeFile(server);
    closeFile(outside);
  }
  const silent = await patient.doctor("node1", "--dns 203.0.113.10");
  expect([found(silent), told(silent)]).toEqual([["node1 dns"], told(silent)]);

  const plugin = join(patient.lab.directory, "plugins", "twill-cni");
  rmSync(plugin);
  writeFileSync(plugin, "an older one", { mode: 0o755 });
  const mixed = await patient.doctor("node1", "--all");
  expect([found(mixed), told(mixed)]).toEqual([["node1 version", "node2 version"], told(mixed)]);
  expect(told(mixed)).toContain("agent and CNI plugin are of different versions");
}, 240_000);
