import { afterAll, afterEach, expect, onTestFinished, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFrame } from "../../../src/kernel/frame.ts";
import { encodeCniAnswer, encodeCniCall } from "../../../src/rpc/cni-form.ts";
import { encodeError } from "../../../src/rpc/message.ts";
import { architectures, ended, LauncherFolder } from "./launcher.fixture.ts";

/** The launcher against a server that is driven byte by byte. With a real agent: agent.test.ts. */
const folder = mkdtempSync(join(tmpdir(), "twill-launcher-socket-"));
const path = join(folder, "agent.sock");
const launchers = architectures.map((architecture) => ({ architecture, launcher: new LauncherFolder(architecture) }));
let server: Bun.UnixSocketListener<Conversation> | undefined;

afterEach(() => server?.stop(true));
afterAll(() => {
  for (const { launcher } of launchers) launcher.remove();
  rmSync(folder, { recursive: true, force: true });
});

interface Conversation {
  received: Uint8Array;
}
type Peer = Bun.Socket<Conversation>;

/** @param onCall when a whole frame is here. */
function serve(onCall: (frame: Uint8Array, peer: Peer) => unknown, onOpen?: (peer: Peer) => void): void {
  server?.stop(true);
  rmSync(path, { force: true });
  server = Bun.listen<Conversation>({
    unix: path,
    socket: {
      open: (peer) => {
        peer.data = { received: new Uint8Array() };
        onOpen?.(peer);
      },
      data: (peer, bytes) => {
        peer.data.received = Buffer.concat([peer.data.received, bytes]);
        const { received } = peer.data;
        if (received.length < 4) return;
        const length = new DataView(received.buffer, received.byteOffset).getUint32(0, true);
        if (received.length === 4 + length) void onCall(received.subarray(4), peer);
      },
    },
  });
}

/** All of it, whatever the socket's buffer holds. */
async function write(peer: Peer, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0; ) {
    const written = peer.write(rest);
    if (written < 0) return;
    rest = rest.subarray(written);
    if (rest.length > 0) await Bun.sleep(1);
  }
}

const answer = (stdout: string, status: 0 | 1 = 0): Uint8Array => encodeFrame(encodeCniAnswer({ status, stdout }));
const variables = (command: string) => ({ CNI_COMMAND: command, CNI_CONTAINERID: "c1", CNI_IFNAME: "eth0" });
const config = (more: object = {}) => JSON.stringify({ cniVersion: "1.1.0", name: "twill", socket: path, ...more });
const handedOver = (reason: string, command: string, bytes: number) => ({
  status: 3,
  stdout: `handed over: ${reason}, ${command}, ${bytes} bytes\n`,
  stderr: "",
});

/** Megabytes, as a GC on a node with very many pods. */
const large = config({
  "cni.dev/valid-attachments": Array.from({ length: 60_000 }, (_, index) => ({
    containerID: `${index}`.padStart(32, "0"),
    ifname: "eth0",
  })),
});

for (const { architecture, launcher } of launchers) {
  const name = (what: string) => `${architecture}: ${what}`;

  test(
    name("the variables of CNI and the configuration arrive as they are, the answer is printed as it is"),
    async () => {
      const calls: Uint8Array[] = [];
      serve((frame, peer) => {
        calls.push(frame.slice());
        void write(peer, answer('{"ü":1}', calls.length === 2 ? 1 : 0));
      });
      const environment = { HOME: "/", ...variables("ADD"), CNI_ARGS: "", LANG: "C" };
      const input = `${config()}\n`;
      expect(await launcher.run(environment, input)).toEqual({ status: 0, stdout: '{"ü":1}\n', stderr: "" });
      expect(await launcher.run(environment, input)).toEqual({ status: 1, stdout: '{"ü":1}\n', stderr: "" });
      const wanted = { ...variables("ADD"), CNI_ARGS: "" };
      for (const call of calls) {
        const [text, end] = new TextDecoder().decode(call).split("\0\0");
        expect(text?.slice(1).split("\0").sort()).toEqual(
          Object.entries(wanted)
            .map(([key, value]) => `${key}=${value}`)
            .sort(),
        );
        expect(end).toBe(input);
        expect(call.length).toBe(encodeCniCall({ variables: wanted, config: input }).length);
      }
    },
  );

  test(
    name("an empty answer prints nothing; one in single bytes and one of a megabyte are printed whole"),
    async () => {
      const texts = ["", "x".repeat(50), "y".repeat((1 << 20) - 7)];
      for (const text of texts) {
        serve(async (_, peer) => {
          const bytes = answer(text);
          if (bytes.length > 100) return void (await write(peer, bytes));
          for (const byte of bytes) {
            await write(peer, Uint8Array.of(byte));
            await Bun.sleep(1);
          }
        });
        const { status, stdout } = await launcher.run(variables("CHECK"), config());
        expect([status, stdout.length, stdout.trimEnd() === text]).toEqual([
          0,
          text === "" ? 0 : text.length + 1,
          true,
        ]);
      }
    },
  );

  test(
    name("a configuration that comes in pieces, and one of megabytes to a server that is slow to read"),
    async () => {
      const calls: number[] = [];
      serve(
        (frame, peer) => {
          calls.push(Bun.hash.crc32(frame.subarray(frame.length - large.length)), frame.length);
          void write(peer, answer(""));
        },
        (peer) => {
          peer.pause();
          setTimeout(() => peer.resume(), 200);
        },
      );
      const bytes = new TextEncoder().encode(large);
      const pieces = new ReadableStream({
        async pull(controller) {
          for (let at = 0; at < bytes.length; at += 700_001) {
            controller.enqueue(bytes.subarray(at, at + 700_001));
            await Bun.sleep(5);
          }
          controller.close();
        },
      });
      expect(await launcher.run(variables("GC"), pieces)).toEqual({ status: 0, stdout: "", stderr: "" });
      expect(calls).toEqual([
        Bun.hash.crc32(bytes),
        encodeCniCall({ variables: variables("GC"), config: large }).length,
      ]);
    },
  );

  test(name("what is not its own is handed over with standard input untouched"), async () => {
    serve((_, peer) => void write(peer, answer("asked")));
    for (const [environment, reason] of [
      [{ CNI_COMMAND: "VERSION" }, "ask"],
      [{ CNI_COMMAND: "ADDS" }, "ask"],
      [{ CNI_COMMAND: "AD" }, "ask"],
      [{ CNI_COMMAND: "" }, "ask"],
      [{}, "ask"],
      [{ ...variables("ADD"), TWILL_CNI_TIMEOUT: "5" }, "ask"],
      [{ ...variables("ADD"), ...Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`CNI_${n}`, ""])) }, "ask"],
    ] as const)
      expect(await launcher.run(environment, config())).toEqual(
        handedOver(reason, "CNI_COMMAND" in environment ? environment.CNI_COMMAND : "", config().length),
      );
    for (const command of ["ADD", "DEL", "CHECK", "GC", "STATUS"])
      expect((await launcher.run(variables(command), config())).stdout).toBe("asked\n");
  });

  test(name("nobody listens, or nobody any more: handed over with all that was read"), async () => {
    rmSync(path, { force: true });
    expect(await launcher.run(variables("DEL"), config())).toEqual(handedOver("ask", "DEL", config().length));
    serve(() => {});
    server?.stop(true); // takes the file with it
    closeSync(openSync(path, "w"));
    expect(await launcher.run(variables("DEL"), large)).toEqual(handedOver("ask", "DEL", large.length));
    unlinkSync(path);
  });

  test(name("a configuration that is too long for the agent is not sent"), async () => {
    let calls = 0;
    serve(() => calls++);
    const tooLong = config({ x: "x".repeat(4 << 20) });
    expect(await launcher.run(variables("ADD"), tooLong)).toEqual(handedOver("ask", "ADD", tooLong.length));
    const endless = config({ x: "x".repeat(5 << 20) });
    const { stdout } = await launcher.run(variables("ADD"), endless);
    expect(stdout).toContain(`handed over: ask, ADD, ${(4 << 20) + (64 << 10)} bytes`);
    expect(calls).toBe(0);
  });

  test(name("an agent that answers in JSON has done nothing, and may be asked again"), async () => {
    serve((_, peer) => void write(peer, encodeFrame(encodeError(new Error("I am old")))));
    expect(await launcher.run(variables("ADD"), config())).toEqual(handedOver("ask", "ADD", config().length));
  });

  test(name("an agent that hangs up after the call may have acted, and is not asked again"), async () => {
    const cut: readonly Uint8Array[] = [
      new Uint8Array(),
      answer("x".repeat(100)).subarray(0, 3),
      answer("x".repeat(100)).subarray(0, 5),
      answer("x".repeat(100)).subarray(0, 60),
      encodeFrame(Uint8Array.of(1)), // an answer without a status
      Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 0, 65), // a length beyond all measure
      answer("y".repeat(1 << 20)), // longer than any answer is
    ];
    for (const bytes of cut) {
      serve(async (_, peer) => {
        await write(peer, bytes);
        peer.end();
      });
      expect(await launcher.run(variables("ADD"), config())).toEqual(handedOver("hung-up", "ADD", config().length));
    }
  }, 60_000);

  test(name("an agent that hangs up before it has read the call has not acted"), async () => {
    serve(
      () => {},
      (peer) => {
        peer.pause();
        setTimeout(() => peer.terminate(), 100);
      },
    );
    expect(await launcher.run(variables("GC"), large)).toEqual(handedOver("ask", "GC", large.length));
  });

  test(name("one limit of time for the whole call, which signals and single bytes do not prolong"), async () => {
    const timers: Timer[] = [];
    serve((_, peer) => {
      const bytes = answer("never complete, however long one waits for it");
      let at = 0;
      timers.push(setInterval(() => peer.write(bytes.subarray(at, ++at)), 400));
    });
    onTestFinished(() => {
      for (const timer of timers) clearInterval(timer);
    });
    const child = launcher.start(variables("STATUS"), config());
    const stopping = setInterval(() => {
      child.kill("SIGSTOP");
      setTimeout(() => child.kill("SIGCONT"), 30);
    }, 300);
    const started = performance.now();
    const result = await ended(child);
    clearInterval(stopping);
    expect(result).toEqual(handedOver("timed-out", "STATUS", config().length));
    expect(performance.now() - started).toBeGreaterThan(4_500);
  }, 60_000);

  test(name("stopped and continued while it waits, it still gets its answer"), async () => {
    let child: ReturnType<LauncherFolder["start"]> | undefined;
    serve(async (_, peer) => {
      for (let round = 0; round < 5; round++) {
        child?.kill("SIGSTOP");
        await Bun.sleep(20);
        child?.kill("SIGCONT");
        await Bun.sleep(20);
      }
      await write(peer, answer("late"));
    });
    child = launcher.start(variables("ADD"), config());
    expect(await ended(child)).toEqual({ status: 0, stdout: "late\n", stderr: "" });
  }, 60_000);

  test(name("closed standard streams: nothing is written where it does not belong"), async () => {
    const received: number[] = [];
    serve((frame, peer) => {
      received.push(frame.length);
      void write(peer, answer("answer"));
    });
    const shell = (redirections: string) => ["sh", "-c", `exec "$@" ${redirections}`, "sh"];
    expect((await launcher.run(variables("ADD"), config(), shell("<&-"))).stdout).toBe(
      "handed over: ask, ADD, 0 bytes\n",
    );
    const netns = { ...variables("ADD"), CNI_NETNS: "/proc/self/ns/net" };
    for (const environment of [variables("ADD"), netns])
      expect(await launcher.run(environment, config(), shell(">&-"))).toMatchObject({ stdout: "" });
    expect(received).toEqual([]);
    // Nobody reads: no reason to hang or to start anything else.
    const { stdout } = await launcher.run(variables("ADD"), config(), shell(">/dev/full"));
    expect([stdout, received.length]).toEqual(["", 1]);
  });

  test(name("without the executable beside it, and called by itself, it says so in CNI's words"), async () => {
    const alone = new LauncherFolder(architecture);
    onTestFinished(() => alone.remove());
    rmSync(join(alone.path, "twill"));
    const { status, stdout } = await alone.run({ CNI_COMMAND: "VERSION" }, "{}");
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ code: 5, msg: expect.stringContaining("twill install-cni") });
    const argument = Bun.spawnSync([...launcher.command, "ask"]);
    expect(JSON.parse(argument.stdout.toString())).toMatchObject({ code: 5 });
  });
}

test("an interrupted system call is made again, each of them", async () => {
  const native = launchers.find(({ architecture }) => architecture === process.arch)?.launcher;
  const netns = { ...variables("ADD"), CNI_NETNS: "/proc/self/ns/net" };
  const interrupting = (call: string) => ["strace", "-o", "/dev/null", "-e", `inject=${call}:error=EINTR:when=1`];
  for (const call of ["read", "openat", "sendmsg", "ppoll", "write"]) {
    const frames: number[] = [];
    serve((frame, peer) => {
      frames.push(frame.length);
      void write(peer, answer("whole"));
    });
    const result = await native?.run(netns, config(), interrupting(call));
    expect([call, result]).toEqual([call, { status: 0, stdout: "whole\n", stderr: "" }]);
    expect(frames).toHaveLength(1);
  }
  server?.stop(true);
  for (const call of ["write", "read"])
    expect(await native?.run(netns, config(), interrupting(call))).toEqual(handedOver("ask", "ADD", config().length));
}, 60_000);
