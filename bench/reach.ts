import { join } from "node:path";
import type { LabApi } from "../lab/api.ts";
import { callLab } from "../lab/control.ts";
import { readRecord } from "../lab/directory.ts";
import { controlSocket } from "../lab/init.ts";
import { decodeEchoReply, encodeEchoRequest } from "../lab/probe/echo.ts";
import { type Address, addressFromNumber, numberOf } from "../src/base/address.ts";
import { closeFile } from "../src/kernel/file.ts";
import { inNetns, openNetns } from "../src/kernel/netns.ts";
import { encodeSockaddr } from "../src/kernel/sockaddr.ts";
import { AF_INET, MSG_DONTWAIT, openSocket, SOCK_RAW, tryConnect, tryReceive, trySend } from "../src/kernel/socket.ts";
import type { Figure } from "./report.ts";
import type { Bench } from "./run.ts";
import { summarize } from "./statistics.ts";

const rounds = 100;
const IPPROTO_ICMP = 1;
const patience = 10_000;

/** Milliseconds since ADD was asked for. */
interface Reached {
  readonly added: number;
  readonly answered: number;
}

/**
 * A new pod, and a pod behind a router and a tunnel that asks for it before it is there: an echo request a millisecond to
 * the address that is next.
 */
export async function benchReach({ programs, folder, progress, scale }: Bench): Promise<Figure[]> {
  const directory = join(folder, "lab");
  const env = { ...process.env, TWILL_LAB: directory };
  const twill = (...args: string[]) =>
    Bun.spawnSync([join(programs, "twill"), "lab", ...args], { env, stdio: ["ignore", "ignore", "pipe"] });
  const down = () => void twill("down");
  process.prependListener("exit", down);
  const { exitCode, stderr } = twill("up", "--nodes", "2", "--subnets", "2", "--pods", "1");
  if (exitCode !== 0) throw new Error(`twill lab up: exit ${exitCode}: ${stderr}`);
  const call = <M extends keyof LabApi>(method: M, params: LabApi[M]["params"]) =>
    callLab<LabApi, M>(controlSocket(directory), method, params);
  try {
    const { net } = await call("enter", { target: "node1/pod-a" });
    const netns = openNetns(`/proc/${readRecord(directory)?.init?.pid}/fd/${net}`);
    const all: Reached[] = [];
    const count = Math.ceil(rounds * scale);
    const add = async (pod: string) => (await call("addPod", { node: "node2", pod })).addresses[0];
    let last = await add("first");
    for (let round = 1; round <= count; round++) {
      progress(`a new pod is reached: ${round} of ${count}`);
      const next = following(last);
      const answered = firstAnswer(netns, next, round);
      const began = performance.now();
      last = await add(`bench-${round}`);
      const added = performance.now() - began;
      if (last === next) all.push({ added, answered: (await answered.at) - began });
      answered.stop();
      await call("deletePod", { node: "node2", pod: `bench-${round}` });
    }
    closeFile(netns);
    return figures(all);
  } finally {
    process.removeListener("exit", down);
    down();
  }
}

function figures(all: readonly Reached[]): Figure[] {
  const both = (values: readonly number[]) => {
    const { p50, p99 } = summarize(values);
    return `${p50.toFixed(1)} / ${p99.toFixed(1)} ms`;
  };
  const behind = all.map(({ added, answered }) => answered - added);
  return [
    {
      what: "new pods, all reached",
      value: String(all.length),
      reached: all.length > 0 && !behind.includes(Number.NaN),
    },
    {
      what: "the lab's call that adds one: namespace, plugin, answer, p50 / p99",
      value: both(all.map((each) => each.added)),
    },
    {
      what: "from its start until the far pod has an answer, p50 / p99",
      value: both(all.map((each) => each.answered)),
    },
    { what: "… after its end, p50 / p99 (less than 0: before)", value: both(behind) },
  ];
}

/** Addresses of a node are given out in order. */
function following(address: Address | undefined): Address {
  if (address === undefined) throw new Error("a pod without an address");
  return addressFromNumber(4, numberOf(address) + 1n);
}

/** When an echo request of one a millisecond was answered, in time of performance.now(). */
function firstAnswer(netns: number, address: Address, identifier: number): { at: Promise<number>; stop(): void } {
  const fd = inNetns(netns, () => openSocket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  tryConnect(fd, encodeSockaddr(address, 0));
  const buffer = new Uint8Array(2048);
  let stopped = false;
  const ask = async (): Promise<number> => {
    const deadline = performance.now() + patience;
    for (let sequence = 0; !stopped && performance.now() < deadline; sequence++) {
      trySend(fd, encodeEchoRequest(4, { identifier, sequence: sequence & 0xffff }), MSG_DONTWAIT);
      await Bun.sleep(1);
      const length = tryReceive(fd, buffer, MSG_DONTWAIT);
      if (length > 0 && decodeEchoReply(4, buffer.subarray(0, length))?.identifier === identifier)
        return performance.now();
    }
    return Number.NaN;
  };
  const at = ask().finally(() => closeFile(fd));
  return {
    at,
    stop: () => {
      stopped = true;
    },
  };
}
