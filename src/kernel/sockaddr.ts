import { type Address, addressFromBytes, bytesOf, familyOf } from "../base/address.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "./socket.ts";

export interface Endpoint {
  readonly address: Address;
  /** Host order; 0 where the protocol has none (ICMP). */
  readonly port: number;
  /** IPv6 link-local only: interface index (sin6_scope_id). */
  readonly device?: number;
}

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes), include/uapi/linux/in.h and in6.h. */
export function encodeEndpoint(endpoint: Endpoint): Uint8Array {
  const writer = new ByteWriter(28);
  if (familyOf(endpoint.address) === 4) {
    return writer.u16(AF_INET).u16be(endpoint.port).raw(bytesOf(endpoint.address)).zero(8).bytes();
  }
  writer.u16(AF_INET6).u16be(endpoint.port).u32(0).raw(bytesOf(endpoint.address));
  return writer.u32(endpoint.device ?? 0).bytes();
}

/** @throws TwillError `corrupt`. */
export function decodeEndpoint(bytes: Uint8Array): Endpoint {
  const reader = new ByteReader(bytes);
  const family = reader.u16();
  const port = reader.u16be();
  if (family === AF_INET) return { address: addressFromBytes(reader.take(4)), port };
  if (family !== AF_INET6) throw new TwillError("corrupt", `a socket address of family ${family}`);
  reader.skip(4);
  const address = addressFromBytes(reader.take(16));
  const device = reader.u32();
  return { address, port, ...(device === 0 ? {} : { device }) };
}

/** struct sockaddr_un: the path is limited to 107 bytes and a NUL. @throws TwillError `invalid` for a longer one. */
export function encodeUnixPath(path: string): Uint8Array {
  const name = new TextEncoder().encode(path);
  if (name.length === 0 || name.length > 107 || name.includes(0)) {
    throw new TwillError("invalid", `the path of a unix socket has 1 to 107 bytes, not ${name.length}`, {
      object: path,
      remedy: "use a shorter directory",
    });
  }
  return new ByteWriter(110).u16(AF_UNIX).raw(name).u8(0).bytes();
}
