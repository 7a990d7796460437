import { type Mac, parseMac } from "../base/mac.ts";
import type { FakeLinks } from "./fake-links.ts";
import { FakeRtnl } from "./fake-rtnl.ts";

/** Several fake namespaces that links can be moved or span between. "Descriptors" are the numbers they were opened with. */
export class FakeNetwork {
  readonly #namespaces = new Map<number, FakeRtnl>();
  #macs = 0;

  /** The namespace behind a descriptor, made on first use. */
  namespace(fd: number): FakeRtnl {
    const existing = this.#namespaces.get(fd);
    if (existing !== undefined) return existing;
    const made = new FakeRtnl(this);
    this.#namespaces.set(fd, made);
    return made;
  }

  /** Number of a namespace for the others; here the same for all. */
  idOf(links: FakeLinks): number {
    return [...this.#namespaces.values()].findIndex(({ linkTable }) => linkTable === links);
  }

  /** A fresh locally administered Ethernet address; the kernel's are random. */
  mac(): Mac {
    const number = ++this.#macs;
    return parseMac(`fe:ed:00:00:${hexByte(number >> 8)}:${hexByte(number & 0xff)}`);
  }
}

const hexByte = (value: number): string => value.toString(16).padStart(2, "0");
