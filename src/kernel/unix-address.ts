import { ByteWriter } from "../base/bytes.ts";
import { TwillError } from "../base/errors.ts";
import { AF_UNIX } from "./socket.ts";

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
