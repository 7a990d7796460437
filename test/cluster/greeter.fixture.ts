import { onTestFinished } from "bun:test";
import type { TestNetns } from "../support/netns.ts";

/**
 * A pod's program, on TCP and UDP port 80 of all its addresses: tells a client the address it sees it by. On TCP port 81 it
 * sends `bulk` bytes, on 82 it takes as many and then tells how many came.
 */
const program = (bulk: number) => `
const { createServer } = await import("node:net");
const { createSocket } = await import("node:dgram");
const listening = [];
const listen = (port, serve) => {
  const server = createServer({ allowHalfOpen: true }, (socket) => { socket.on("error", () => {}); serve(socket); });
  listening.push(new Promise((done) => server.listen(port, "::", done)));
};
const plain = (address) => address.replace("::ffff:", "");
listen(80, (socket) => socket.end("tcp " + plain(socket.remoteAddress) + "\\n"));
listen(81, (socket) => socket.end(Buffer.alloc(${bulk})));
listen(82, (socket) => {
  let taken = 0;
  socket.on("data", (data) => { if ((taken += data.length) >= ${bulk}) socket.end(taken + "\\n"); });
});
for (const type of ["udp4", "udp6"]) {
  const socket = createSocket({ type, ipv6Only: true });
  socket.on("message", (_, from) => socket.send("udp " + from.address + "\\n", from.port, from.address));
  listening.push(new Promise((done) => socket.bind(80, type === "udp4" ? "0.0.0.0" : "::", done)));
}
await Promise.all(listening);
console.log("up");
`;

export async function startGreeter(pod: TestNetns, { bulk = 0 } = {}): Promise<void> {
  const child = pod.enter(() =>
    Bun.spawn([process.execPath, "-e", program(bulk)], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  onTestFinished(async () => {
    child.kill();
    await child.exited;
  });
  await child.stdout.getReader().read();
}

/** @returns what the pod says, or undefined when nobody answers. */
export function greet(from: TestNetns, protocol: "tcp" | "udp", address: string, port: number): string | undefined {
  // Not bash's own read: it takes a datagram's first byte and loses the rest.
  const script = `exec 3<>/dev/${protocol}/${address}/${port} && echo hello >&3 && head -n 1 <&3`;
  const { exitCode, stdout } = from.enter(() =>
    Bun.spawnSync(["timeout", "15", "bash", "-c", script], { stderr: "ignore", timeout: 20_000 }),
  );
  const answer = stdout.toString().trim();
  return exitCode === 0 && answer !== "" ? answer : undefined;
}
