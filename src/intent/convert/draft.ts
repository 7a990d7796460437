import type { PodSettings } from "./finding.ts";

/** Flags of twill-agent, in the order in which they came up. */
export class Flags {
  readonly #values = new Map<string, string[]>();

  set(name: string, value: string): void {
    this.#values.set(name, [value]);
  }

  /** One more value of a flag that may be repeated. */
  add(name: string, value: string): void {
    const values = this.#values.get(name) ?? [];
    if (!values.includes(value)) values.push(value);
    this.#values.set(name, values);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** TWILL_IFACE=eth0,eth1. "$(NAME)" is left out: Kubernetes replaces it in arguments only. */
  environment(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      [...this.#values]
        .filter(([, values]) => !values.some((value) => value.includes("$(")))
        .map(([name, values]) => [`TWILL_${name.replaceAll("-", "_").toUpperCase()}`, values.join(",")]),
    );
  }

  /** "--iface=eth0" */
  words(): readonly string[] {
    return [...this.#values].flatMap(([name, values]) => values.map((value) => `--${name}=${value}`));
  }
}

/** What is being put together. */
export interface Draft {
  readonly flags: Flags;
  netConf: string | undefined;
  pod: PodSettings;
}

export const emptyDraft = (): Draft => ({ flags: new Flags(), netConf: undefined, pod: {} });
