import { readdirSync } from "node:fs";
import { TwillError } from "../../src/base/errors.ts";
import type { SysctlName, Sysctls } from "../../src/kernel/sysctl.ts";
import { readIfExists, writeAtomically } from "./files.ts";

/**
 * Remembers on disk what a kernel setting was before Twill first changed it, so that uninstalling gives it back. The old
 * value is on disk before the new one is in the kernel: a crash between the two loses nothing.
 */
export class SysctlLedger implements Sysctls {
  readonly #kernel: Sysctls;
  readonly #path: string;
  readonly #before: Map<string, { readonly name: SysctlName; readonly value: string }>;

  constructor(kernel: Sysctls, path: string) {
    this.#kernel = kernel;
    this.#path = path;
    this.#before = new Map(read(path).map((entry) => [entry.name.join("/"), entry]));
  }

  read(name: SysctlName): string {
    return this.#kernel.read(name);
  }

  tryRead(name: SysctlName): string | undefined {
    return this.#kernel.tryRead(name);
  }

  write(name: SysctlName, value: string): void {
    const fresh = [name, ...alsoChanged(name)].filter((affected) => !this.#before.has(affected.join("/")));
    for (const affected of fresh) {
      const old = this.#kernel.tryRead(affected);
      if (old !== undefined) this.#before.set(affected.join("/"), { name: affected, value: old });
    }
    if (fresh.length > 0) this.#save();
    this.#kernel.write(name, value);
  }

  #save(): void {
    const text = `${JSON.stringify({ version: 1, before: [...this.#before.values()] }, null, 1)}\n`;
    writeAtomically(this.#path, text, { mode: 0o600 });
  }

  /** Puts one setting back that was needed for a while, unless somebody has changed it since. */
  giveBack(name: SysctlName, written: string): void {
    const before = this.#before.get(name.join("/"));
    if (before === undefined) return;
    if (this.#kernel.tryRead(name) === written) this.#kernel.write(name, before.value);
    this.#before.delete(name.join("/"));
    this.#save();
  }

  /** Puts back what still differs; settings of devices that are gone are gone with them. @returns what was put back. */
  restore(): readonly string[] {
    const restored: string[] = [];
    for (const [path, { name, value }] of this.#before) {
      const now = this.#kernel.tryRead(name);
      if (now === undefined || now === value) continue;
      this.#kernel.write(name, value);
      restored.push(`${path} = ${value}`);
    }
    return restored;
  }
}

/**
 * Switching forwarding writes other settings too: of every device (inet_forward_change in net/ipv4/devinet.c,
 * addrconf_fixup_forwarding in net/ipv6/addrconf.c), and, for IPv4, accept_redirects of all.
 */
function alsoChanged(name: SysctlName): SysctlName[] {
  const path = name.join("/");
  if (path === "ipv4/ip_forward") return [...forwardingOf("ipv4"), ["ipv4", "conf", "all", "accept_redirects"]];
  return path === "ipv6/conf/all/forwarding" ? forwardingOf("ipv6") : [];
}

function forwardingOf(family: "ipv4" | "ipv6"): SysctlName[] {
  try {
    return readdirSync(`/proc/sys/net/${family}/conf`).map((device) => [family, "conf", device, "forwarding"]);
  } catch {
    return []; // no IPv6 in this kernel
  }
}

function read(path: string): { readonly name: SysctlName; readonly value: string }[] {
  const text = readIfExists(path);
  if (text === undefined) return [];
  try {
    const { version, before } = JSON.parse(text) as { version: number; before: { name: string[]; value: string }[] };
    if (version === 1) return before;
  } catch {
    // falls through to the one message
  }
  throw new TwillError("corrupt", "this is not a list of kernel settings of version 1", {
    operation: "read",
    object: path,
    remedy: "restore it, or remove it: uninstalling then leaves the kernel settings as they are now",
  });
}
