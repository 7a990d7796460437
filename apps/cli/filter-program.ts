import { TwillError } from "../../src/base/errors.ts";
import { type BpfProgram, parseTcpdumpProgram } from "../../src/wire/bpf.ts";

/** struct pcap_file_header of an empty capture of Ethernet frames: with a file to read tcpdump needs neither device nor rights. */
const emptyCapture = new Uint8Array(new Uint32Array([0xa1b2c3d4, 0x00040002, 0, 0, 262_144, 1]).buffer);

/**
 * A filter in tcpdump's language, compiled by tcpdump itself.
 * @throws TwillError `unsupported` where tcpdump is not installed, `invalid` with its words for what it does not understand.
 */
export function compileFilter(expression: string): BpfProgram {
  let result: Bun.SyncSubprocess<"pipe", "pipe">;
  try {
    result = Bun.spawnSync(["tcpdump", "-r", "-", "-ddd", "--", expression], {
      stdin: emptyCapture,
      stdout: "pipe",
      stderr: "pipe",
      timeout: 20_000,
    });
  } catch {
    throw new TwillError("unsupported", "a FILTER is compiled by tcpdump, which is not installed here", {
      operation: "compile filter",
      remedy:
        "install tcpdump on this node (not on the others), or leave the filter out and filter the file afterwards",
    });
  }
  if (result.exitCode === 0) return parseTcpdumpProgram(result.stdout.toString());
  const said =
    result.stderr
      .toString()
      .split("\n")
      .find((line) => /^tcpdump: /.test(line)) ?? "tcpdump failed";
  throw new TwillError("invalid", said.replace(/^tcpdump: /, ""), {
    operation: "compile filter",
    object: expression,
    remedy: "man pcap-filter tells its language",
  });
}
