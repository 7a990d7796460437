import { TwillError } from "./errors.ts";

/** An Ethernet address in lower case with colons: "0e:12:34:56:78:9a". */
export type Mac = string & { readonly __mac: true };

export function tryMac(text: string): Mac | undefined {
  return /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text) ? (text.toLowerCase() as Mac) : undefined;
}

export function parseMac(text: string): Mac {
  const mac = tryMac(text);
  if (mac === undefined)
    throw new TwillError("invalid", `"${text}" is not an Ethernet address`, {
      remedy: "write six hex pairs, e.g. 0e:12:34:56:78:9a",
    });
  return mac;
}

export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new TwillError("corrupt", `an Ethernet address has 6 bytes, not ${bytes.length}`);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":") as Mac;
}

export const macBytes = (mac: Mac): Uint8Array => Uint8Array.from(mac.split(":"), (pair) => Number.parseInt(pair, 16));

export const isMulticast = (mac: Mac): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;

/** A unicast, locally administered address (IEEE 802 section 8.4) from six random bytes. */
export function localMac(random: Uint8Array): Mac {
  const bytes = Uint8Array.from(random.subarray(0, 6));
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return macFromBytes(bytes);
}
