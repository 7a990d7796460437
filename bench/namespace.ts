import { closeFile } from "../src/kernel/file.ts";
import { createNetns, inNetns } from "../src/kernel/netns.ts";
import { startInBackground } from "./background.ts";

/** A network namespace, by default a new one without a name: it is gone with this process, however that ends. */
export class Namespace {
  readonly fd: number;

  constructor(fd = createNetns()) {
    this.fd = fd;
  }

  /** As other processes can open it. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.fd}`;
  }

  /** Runs synchronous work inside; processes that it starts stay there. */
  enter<T>(work: () => T): T {
    return inNetns(this.fd, work);
  }

  /** A program's standard output. The words are separated by blanks. @throws Error with what it wrote when it fails. */
  run(command: string): string {
    const words = command.split(" ");
    const result = this.enter(() => Bun.spawnSync(words, { stdout: "pipe", stderr: "pipe", timeout: 60_000 }));
    if (result.exitCode === 0) return result.stdout.toString();
    throw new Error(`${command}: exit ${result.exitCode}: ${result.stderr.toString().trim()}`);
  }

  /** The same in the background, until it is killed. */
  start(command: string): Bun.Subprocess {
    return this.enter(() => startInBackground(command.split(" ")));
  }

  close(): void {
    closeFile(this.fd);
  }
}
