import { mkdirSync, watch } from "node:fs";
import { openAttachKernel } from "../../../src/attach/attach-kernel.ts";
import { createLog } from "../../../src/base/log.ts";
import { parsePrefix } from "../../../src/base/prefix.ts";
import { systemBoot } from "../../../src/ipam/boot.ts";
import { beforeSystemCall } from "../../../src/kernel/libc.ts";
import { ThreadPoller } from "../../../src/kernel/poller.ts";
import { serveRpc } from "../../../src/rpc/server.ts";
import { pendingFolder } from "../../cni/pending-deletes.ts";
import { Books } from "./books.ts";
import { CallQueue } from "./call-queue.ts";
import { CniService } from "./cni-service.ts";
import { Pods } from "./pods.ts";

/**
 * The CNI service alone, as a process in the namespace of a node. One JSON argument; prints "ready" when it listens. With
 * `killAt` it kills itself, as kill -9 does, before that kernel call, counted from the first request.
 */
export interface HarnessOptions {
  readonly socket: string;
  readonly state: string;
  readonly subnets: readonly string[];
  readonly mtu: number;
  readonly killAt?: number;
  readonly quarantine?: number;
  readonly bootId?: string;
  /** Answers nothing, as an agent that hangs. */
  readonly hang?: boolean;
  readonly notReady?: string;
}

const options: HarnessOptions = JSON.parse(process.argv[2] ?? "{}");
const log = createLog({ level: "warn", write: (line) => process.env.HARNESS_LOG && console.error(line) });
const kernel = openAttachKernel();
const boot = systemBoot();
const books = new Books({
  folder: options.state,
  boot: { id: options.bootId ?? boot.id, now: boot.now },
  quarantine: options.quarantine ?? 0,
});
const pods = new Pods(kernel, books, log);
const service = new CniService({
  kernel,
  books,
  context: () => ({
    subnets: options.subnets.map(parsePrefix),
    podMtu: options.mtu,
    ...(options.notReady === undefined ? {} : { notReady: { message: options.notReady, remedy: "wait" } }),
  }),
  pendingFolder: pendingFolder(options.socket),
  log,
});
const queue = new CallQueue(service);
pods.sweep();
service.drainPending();
mkdirSync(pendingFolder(options.socket), { recursive: true });
watch(pendingFolder(options.socket), () => service.drainPending());
pods.setMtu({ device: options.mtu });
const mended = pods.repair();

let calls = 0;
const arm = () => {
  const { killAt } = options;
  if (killAt === undefined) return;
  beforeSystemCall(() => {
    if (calls++ === killAt) process.kill(process.pid, "SIGKILL");
  });
};

serveRpc(new ThreadPoller(), {
  path: options.socket,
  log,
  handlers: {
    cni: (call, { descriptors }) => {
      if (options.hang === true) return new Promise(() => {});
      arm();
      return queue.handle(call, descriptors[0]);
    },
    // The state of the books, for the tests.
    logLevel: () => {
      throw new Error(JSON.stringify({ endpoints: pods.endpoints(), mended, problems: pods.problems, calls }));
    },
  },
});
console.log("ready");
setInterval(() => {}, 1 << 30);
