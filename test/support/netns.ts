import { onTestFinished } from "bun:test";
import type { Mac } from "../../src/base/mac.ts";
import { closeFile } from "../../src/kernel/file.ts";
import { createNetns, inNetns } from "../../src/kernel/netns.ts";
import type { Rtnl } from "../../src/kernel/rtnl.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";

/**
 * Network namespaces for tests: unnamed, known by descriptor only, so that a killed test leaves nothing behind.
 */
export class TestNetns {
  readonly fd: number;
  readonly rtnl: Rtnl;
  #closed = false;

  constructor() {
    this.fd = createNetns();
    this.rtnl = openRtnl({ netns: this.fd });
    this.up(1);
  }

  /** Runs synchronous work inside. */
  enter<T>(work: () => T): T {
    return inNetns(this.fd, work);
  }

  /** Brings a link up, by name or index. */
  up(link: string | number): void {
    this.rtnl.do({ op: "link.set", index: this.indexOf(link), change: { up: true } });
  }

  /** @throws Error when there is no such link. */
  indexOf(link: string | number): number {
    if (typeof link === "number") return link;
    const found = this.rtnl.link(link);
    if (found === undefined) throw new Error(`no link ${link}`);
    return found.index;
  }

  /**
   * Runs a program inside, the oracle of a test: `ns.run("ip", "-j", "addr")`. @returns its standard output.
   * @throws Error with what it wrote, when it fails or takes longer than 20 s.
   */
  run(...command: string[]): string {
    const result = this.enter(() => Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe", timeout: 20_000 }));
    if (result.exitCode !== 0) {
      throw new Error(`${command.join(" ")}: exit ${result.exitCode}\n${result.stdout}${result.stderr}`);
    }
    return result.stdout.toString();
  }

  /** The output of `ip -j …` as JSON. */
  ip(...args: string[]): unknown {
    const text = this.run("ip", "-j", ...args).trim();
    return text === "" ? [] : JSON.parse(text);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.rtnl.close();
    closeFile(this.fd);
  }
}

/** A fresh namespace with `lo` up, closed after the test. Call inside a test or a beforeEach. */
export function testNetns(): TestNetns {
  const netns = new TestNetns();
  onTestFinished(() => netns.close());
  return netns;
}

export interface VethEnd {
  readonly netns: TestNetns;
  readonly name: string;
  readonly mac?: Mac;
  readonly mtu?: number;
}

/** A veth pair between two namespaces, both ends up. @returns the interface indices. */
export function vethPair(a: VethEnd, b: VethEnd): readonly [number, number] {
  const { netns: _, ...here } = a;
  const { netns: there, ...peer } = b;
  a.netns.rtnl.do({
    op: "link.add",
    spec: { ...here, kind: { type: "veth" }, up: true, peer: { ...peer, netns: there.fd, up: true } },
  });
  return [a.netns.indexOf(a.name), b.netns.indexOf(b.name)];
}
