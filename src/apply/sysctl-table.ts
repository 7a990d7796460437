import type { DesiredKernel, DesiredSysctl } from "../objects/desired.ts";
import type { Retries } from "./retries.ts";
import type { Writer } from "./writer.ts";

/** Kernel settings by path below /proc/sys (src/kernel/sysctl.ts). */
export interface SysctlAccess {
  /** Without the newline. Undefined: this kernel has no such setting, or its device is not there. */
  read(path: string): string | undefined;
  write(path: string, value: string): void;
}

export interface SysctlTableOptions {
  readonly sysctl: SysctlAccess;
  readonly retries: Retries;
  /** Called before a setting is changed, with what it was: uninstalling puts it back. */
  readonly onChange: ((path: string, before: string) => void) | undefined;
}

/** Kernel settings. The kernel does not announce changes to them, so they are looked at on every full read. */
export class SysctlTable {
  readonly #sysctl: SysctlAccess;
  readonly #retries: Retries;
  readonly #onChange: ((path: string, before: string) => void) | undefined;
  readonly #marked = new Set<string>();
  #desired: ReadonlyMap<string, DesiredSysctl> = new Map();
  #links: DesiredKernel["links"] = new Map();

  constructor(options: SysctlTableOptions) {
    this.#sysctl = options.sysctl;
    this.#retries = options.retries;
    this.#onChange = options.onChange;
  }

  get marked(): number {
    return this.#marked.size;
  }

  setDesired(kernel: DesiredKernel): void {
    for (const [path, setting] of kernel.sysctls) {
      if (this.#desired.get(path)?.value !== setting.value) this.#marked.add(path);
    }
    for (const path of this.#desired.keys()) if (!kernel.sysctls.has(path)) this.#retries.clear("sysctl", path);
    this.#desired = kernel.sysctls;
    this.#links = kernel.links;
  }

  mark(path: string): void {
    this.#marked.add(path);
  }

  markAll(): void {
    for (const path of this.#desired.keys()) this.#marked.add(path);
  }

  /** The device was made anew: its settings are the kernel's defaults. */
  markDevice(name: string): void {
    for (const [path, { device }] of this.#desired) if (device === name) this.#marked.add(path);
  }

  /** Settings that exist without our tunnels, then (a second call, after the links) those of the tunnels. In their order. */
  reconcile(which: "global" | "tunnels", writer: Writer): void {
    if (this.#marked.size === 0) return;
    for (const [path, setting] of this.#desired) {
      const ofTunnel = setting.device !== undefined && this.#links.has(setting.device);
      if (ofTunnel !== (which === "tunnels") || !this.#marked.delete(path)) continue;
      if (!this.#retries.holds("sysctl", path)) this.#ensure(setting, writer);
    }
  }

  #ensure(setting: DesiredSysctl, writer: Writer): void {
    const { path, value } = setting;
    try {
      const before = this.#sysctl.read(path);
      if (before === undefined && setting.optional !== true) {
        this.#fail(setting, "this kernel has no such setting", setting.device !== undefined);
        return;
      }
      if (before !== undefined && before !== value) {
        this.#onChange?.(path, before);
        writer.count("sysctl");
        this.#sysctl.write(path, value);
      }
      this.#retries.clear("sysctl", path);
    } catch (error) {
      this.#fail(setting, error instanceof Error ? error.message : String(error), false);
    }
  }

  #fail({ path, value, device }: DesiredSysctl, reason: string, waiting: boolean): void {
    this.#retries.record({
      kind: "sysctl",
      key: path,
      device: device ?? path,
      object: `setting ${path} = ${value}`,
      reason,
      remedy: `set it by hand: sysctl -w ${path}=${value}`,
      waiting,
    });
  }
}
