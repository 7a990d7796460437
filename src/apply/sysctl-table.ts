import { formatSysctl, type Sysctls } from "../kernel/sysctl.ts";
import { type DesiredOwn, type DesiredSysctl, sysctlKey } from "../objects/desired.ts";
import type { Contention } from "./contention.ts";
import type { Retries } from "./retries.ts";
import type { Writer } from "./writer.ts";

/** Kernel settings. The kernel announces changes of few of them, so all are looked at on every full read. */
export class SysctlTable {
  readonly #sysctl: Sysctls;
  readonly #retries: Retries;
  readonly #contention: Contention;
  readonly #marked = new Set<string>();
  #desired: ReadonlyMap<string, DesiredSysctl> = new Map();
  #tunnels: ReadonlySet<string> = new Set();

  constructor(sysctl: Sysctls, retries: Retries, contention: Contention) {
    this.#sysctl = sysctl;
    this.#retries = retries;
    this.#contention = contention;
  }

  get marked(): number {
    return this.#marked.size;
  }

  setDesired({ sysctls, links }: DesiredOwn): void {
    const before = this.#desired;
    this.#desired = new Map(sysctls.map((setting) => [sysctlKey(setting), setting]));
    this.#tunnels = new Set(links.map((link) => link.name));
    for (const [key, setting] of this.#desired) if (before.get(key)?.value !== setting.value) this.#marked.add(key);
    for (const key of before.keys()) if (!this.#desired.has(key)) this.#retries.clear("sysctl", key);
  }

  mark(key: string): void {
    this.#marked.add(key);
  }

  markAll(): void {
    for (const key of this.#desired.keys()) this.#marked.add(key);
  }

  /** The device was made anew, with the kernel's defaults, or somebody wrote a setting. undefined: those of no device. */
  markDevice(name: string | undefined): void {
    for (const [key, { device }] of this.#desired) if (device === name) this.#marked.add(key);
  }

  /** Settings that exist without our tunnels, then (a second call, after the links) those of the tunnels. In their order. */
  reconcile(which: "global" | "tunnels", writer: Writer): void {
    if (this.#marked.size === 0) return;
    for (const [key, setting] of this.#desired) {
      const ofTunnel = setting.device !== undefined && this.#tunnels.has(setting.device);
      if (ofTunnel !== (which === "tunnels") || !this.#marked.delete(key)) continue;
      if (!this.#retries.holds("sysctl", key)) this.#ensure(setting, writer);
    }
  }

  #ensure(setting: DesiredSysctl, writer: Writer): void {
    const { name, value } = setting;
    try {
      const before = this.#sysctl.tryRead(name);
      if (before === undefined && setting.optional !== true) {
        this.#fail(setting, "this kernel has no such setting", setting.device !== undefined);
        return;
      }
      if (before !== undefined && before !== value) {
        if (!this.#contention.mayWrite(about(setting))) return;
        writer.count("sysctl");
        this.#sysctl.write(name, value);
      }
      this.#retries.clear("sysctl", sysctlKey(setting));
    } catch (error) {
      this.#fail(setting, error instanceof Error ? error.message : String(error), false);
    }
  }

  #fail(setting: DesiredSysctl, reason: string, waiting: boolean): void {
    const remedy = `set it by hand: sysctl -w ${formatSysctl(setting.name)}=${setting.value}`;
    this.#retries.record({ ...about(setting), reason, remedy, waiting });
  }
}

function about(setting: DesiredSysctl) {
  const name = formatSysctl(setting.name);
  return {
    kind: "sysctl",
    key: sysctlKey(setting),
    device: setting.device ?? name,
    object: `setting ${name} = ${setting.value}`,
  };
}
