import { existsSync } from "node:fs";
import { join } from "node:path";
import type { TestNetns } from "../../../test/support/netns.ts";
import type { CniJson, TestNode } from "./test-node.fixture.ts";

const root = join(import.meta.dir, "../../..");
const compiled = join(process.env.TWILL_DIST ?? join(root, "dist"), "twill-cni");
/** The program that a runtime calls: the built one in `npm test`, the source elsewhere. */
const plugin: readonly string[] =
  process.env.TWILL_DIST !== undefined && existsSync(compiled)
    ? [compiled]
    : [process.execPath, join(root, "apps/cni/main.ts")];

export const debianPlugins = "/usr/lib/cni";

export interface ChainEntry {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A chain of plugins, called as libcni does: each a process, each given the result of the one before. */
export class Chain {
  readonly #node: TestNode;
  readonly #plugins: readonly ChainEntry[];
  readonly #version: string;
  /** libcni keeps it for CHECK and DEL. */
  #result: CniJson | undefined;

  constructor(node: TestNode, plugins: readonly ChainEntry[], version = "1.0.0") {
    this.#node = node;
    this.#plugins = plugins;
    this.#version = version;
  }

  add(id: string, pod: TestNetns): CniJson {
    for (const entry of this.#plugins) this.#result = JSON.parse(this.#call("ADD", entry, id, pod));
    if (this.#result === undefined) throw new Error("an empty chain");
    return this.#result;
  }

  /** Without portmap, whose CHECK wants IPv4's rules in ip6tables too and never succeeds where both are installed (1.1.1). */
  check(id: string, pod: TestNetns): void {
    for (const entry of this.#plugins) if (entry.type !== "portmap") this.#call("CHECK", entry, id, pod);
  }

  delete(id: string, pod: TestNetns): void {
    for (const entry of this.#plugins.toReversed()) this.#call("DEL", entry, id, pod);
    this.#result = undefined;
  }

  #call(command: string, entry: ChainEntry, id: string, pod: TestNetns): string {
    const own = entry.type === "twill-cni" ? { socket: this.#node.socket } : {};
    const previous = this.#result === undefined ? {} : { prevResult: this.#result };
    const config = { cniVersion: this.#version, name: "cbr0", ...entry, ...own, ...previous };
    const program = entry.type === "twill-cni" ? plugin : [join(debianPlugins, entry.type)];
    const { exitCode, stdout, stderr } = this.#node.netns.enter(() =>
      Bun.spawnSync([...program], {
        env: { PATH: process.env.PATH, ...this.#node.variables(command, id, pod) },
        stdin: new TextEncoder().encode(JSON.stringify(config)),
        timeout: 30_000,
      }),
    );
    if (exitCode !== 0) throw new Error(`${command} ${entry.type}: ${stdout}${stderr}`);
    return stdout.toString();
  }
}

/** One call of the plugin as a process that does not block the others. */
export async function spawnPlugin(node: TestNode, command: string, id: string, pod: TestNetns): Promise<string> {
  const child = Bun.spawn([...plugin], {
    env: { PATH: process.env.PATH, ...node.variables(command, id, pod) },
    stdin: new TextEncoder().encode(node.config()),
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${command} ${id}: ${text}`);
  return text;
}
