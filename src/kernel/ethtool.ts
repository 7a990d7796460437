import { ptr } from "bun:ffi";
import { TwillError } from "../base/errors.ts";
import { EOPNOTSUPP, errnoError } from "./errno.ts";
import { closeFile } from "./file.ts";
import { libc, trySystemCall } from "./libc.ts";
import { inNetns } from "./netns.ts";
import { AF_INET, openSocket, SOCK_DGRAM } from "./socket.ts";

/** What rtnetlink cannot say of a device: its driver and its checksum offload (include/uapi/linux/ethtool.h, sockios.h). */
export interface Ethtool {
  /** "vmxnet3", "virtio_net". Undefined: the device has no driver that names itself. @throws TwillError `not-found`. */
  driver(device: string): string | undefined;
  /** Whether checksums of packets sent through the device are left to it (tx-checksumming). @throws TwillError `not-found`. */
  read(device: string): boolean;
  /** @throws TwillError `not-found`, `denied`, `unsupported`. */
  write(device: string, on: boolean): void;
  close(): void;
}

const SIOCETHTOOL = 0x8946;
const ETHTOOL_GDRVINFO = 0x03;
const ETHTOOL_GTXCSUM = 0x16;
const ETHTOOL_STXCSUM = 0x17;
/** struct ethtool_drvinfo, whose second member is char driver[32]. */
const drvinfoSize = 196;
/** struct ifreq: the name, then a union of 24 bytes that here holds a pointer. */
const nameSize = 16;
const ifreqSize = 40;

/**
 * Of the calling thread's namespace, or of the one that `netns` (descriptor) shows. By ioctl: the netlink family of ethtool
 * came with Linux 5.6 only and says no more about these.
 */
export function openEthtool(options: { readonly netns?: number } = {}): Ethtool {
  const open = () => openSocket(AF_INET, SOCK_DGRAM, 0);
  const fd = options.netns === undefined ? open() : inNetns(options.netns, open);

  /** The command's struct as the kernel filled it in; undefined where the device does not know the command. */
  const call = (operation: string, device: string, command: number, data: number, size = 8): DataView | undefined => {
    const name = new TextEncoder().encode(device);
    if (name.length >= nameSize || name.includes(0))
      throw new TwillError("invalid", `no device can be called "${device}"`);
    // The struct stands behind the ifreq in one array: the kernel gets addresses, which keep nothing alive, and the
    // array is used after the call.
    const request = new Uint8Array(ifreqSize + size);
    const view = new DataView(request.buffer);
    request.set(name);
    view.setBigUint64(nameSize, BigInt(ptr(request, ifreqSize)), true);
    view.setUint32(ifreqSize, command, true);
    view.setUint32(ifreqSize + 4, data, true);
    const result = trySystemCall("ioctl", () => libc.ioctl(fd, SIOCETHTOOL, ptr(request)));
    if (result === -EOPNOTSUPP) return undefined;
    if (result < 0) throw errnoError(-result, { operation, object: device });
    return new DataView(request.buffer, ifreqSize);
  };

  return {
    driver(device) {
      const info = call("read driver", device, ETHTOOL_GDRVINFO, 0, drvinfoSize);
      if (info === undefined) return undefined;
      const text = new TextDecoder().decode(new Uint8Array(info.buffer, info.byteOffset + 4, 32)).replace(/\0.*$/s, "");
      return text === "" ? undefined : text;
    },
    read: (device) => call("read checksum offload", device, ETHTOOL_GTXCSUM, 0)?.getUint32(4, true) === 1,
    write(device, on) {
      const operation = "set checksum offload";
      if (call(operation, device, ETHTOOL_STXCSUM, on ? 1 : 0) !== undefined) return;
      throw errnoError(EOPNOTSUPP, { operation, object: device });
    },
    close: () => closeFile(fd),
  };
}
