import { ENOENT, errnoError } from "./errno.ts";
import { checkSysctl, formatSysctl, type SysctlName, type Sysctls } from "./sysctl.ts";

/** Sysctls in memory: only names given at the start or to `define` exist, as in a kernel only those of existing devices do. */
export class FakeSysctls implements Sysctls {
  readonly #values = new Map<string, string>();
  /** Each write, in order, as "net.ipv4.ip_forward = 1". */
  readonly writes: string[] = [];

  constructor(values: readonly (readonly [SysctlName, string])[] = []) {
    for (const [name, value] of values) this.define(name, value);
  }

  define(name: SysctlName, value: string): void {
    checkSysctl(name);
    this.#values.set(formatSysctl(name), value);
  }

  /** Takes away what a device had, when it is deleted. */
  removeDevice(device: string): void {
    const part = formatSysctl([device]).slice("net".length);
    for (const key of this.#values.keys())
      if (key.includes(`.conf${part}.`) || key.includes(`.neigh${part}.`)) this.#values.delete(key);
  }

  tryRead(name: SysctlName): string | undefined {
    checkSysctl(name);
    return this.#values.get(formatSysctl(name));
  }

  read(name: SysctlName): string {
    const value = this.tryRead(name);
    if (value === undefined) throw errnoError(ENOENT, { operation: "read sysctl", object: formatSysctl(name) });
    return value;
  }

  write(name: SysctlName, value: string): void {
    this.read(name);
    this.#values.set(formatSysctl(name), value);
    this.writes.push(`${formatSysctl(name)} = ${value}`);
  }
}
