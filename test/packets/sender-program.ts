import { parseAddress } from "../../src/base/address.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { encodeSockaddr } from "../../src/kernel/sockaddr.ts";
import { AF_INET, openSocket, SOCK_DGRAM, trySend } from "../../src/kernel/socket.ts";

/**
 * Sends datagrams as fast as it can, each the first of a connection: `sender-program.ts ADDRESS DENIED-PORT ALLOWED-PORT`. One in a hundred goes to the
 * second port, and bears a number that counts up. Ends when its standard input does.
 */
const [address = "", denied = "", allowed = ""] = process.argv.slice(2);
const to = parseAddress(address);
const [bad, good] = [denied, allowed].map((port) => encodeSockaddr(to, Number(port))) as [Uint8Array, Uint8Array];
const number = new Uint32Array(1);
const bytes = new Uint8Array(number.buffer);

let ended = false;
process.stdin.on("end", () => {
  ended = true;
});
process.stdin.resume();

const first = (destination: Uint8Array): void => {
  const fd = openSocket(AF_INET, SOCK_DGRAM, 0);
  trySend(fd, bytes, 0, destination);
  closeFile(fd);
};

while (!ended) {
  for (let count = 0; count < 100; count++) first(bad);
  first(good);
  number[0] = (number[0] ?? 0) + 1;
  await Bun.sleep(0);
}
console.log(number[0]);
