import { expect, test } from "bun:test";
import { boolean, choice, describeFlags, list, number, optional, parseFlags, text, withLetter } from "./flags.ts";

const specs = {
  nodeName: optional("name of this node", "NAME"),
  subnetFile: text("/run/flannel/subnet.env", "where subnet.env is written", "FILE"),
  ipMasq: boolean(true, "masquerade pods"),
  healthzPort: number(0, "port", [0, 65535]),
  ifaceRegex: list("regular expressions", "REGEX"),
  logLevel: withLetter("l", choice("info", ["debug", "info"], "how much is logged")),
};

test("values, defaults, lists, and what is behind --", () => {
  const parsed = parseFlags(specs, [
    "one",
    "--node-name",
    "n1",
    "--ip-masq=false",
    "--iface-regex",
    "a,b",
    "--iface-regex=c",
    "two",
    "--",
    "--x",
  ]);
  expect(parsed.flags).toEqual({
    nodeName: "n1",
    subnetFile: "/run/flannel/subnet.env",
    ipMasq: false,
    healthzPort: 0,
    ifaceRegex: ["a", "b", "c"],
    logLevel: "info",
  });
  expect([parsed.rest, parsed.after, [...parsed.given]]).toEqual([
    ["one", "two"],
    ["--x"],
    ["nodeName", "ipMasq", "ifaceRegex"],
  ]);
});

test("a letter stands for its flag, with or without a space", () => {
  for (const argv of [["-l", "debug"], ["-ldebug"], ["-l=debug"]])
    expect(parseFlags(specs, argv).flags.logLevel).toBe("debug");
  expect(parseFlags(specs, ["-", "-5"]).rest).toEqual(["-", "-5"]);
  expect(() => parseFlags(specs, ["-x"])).toThrow("unknown flag --x");
});

test("the environment counts, the command line wins", () => {
  const environment = {
    prefix: "TWILL",
    variables: { TWILL_NODE_NAME: "env", TWILL_HEALTHZ_PORT: "99", TWILL_IFACE_REGEX: "x" },
  };
  const { flags } = parseFlags(specs, ["--node-name=line", "--iface-regex", "y"], environment);
  expect([flags.nodeName, flags.healthzPort, flags.ifaceRegex]).toEqual(["line", 99, ["y"]]);
});

test("each mistake names the flag, the value and what would be right", () => {
  const cases: [string[], string][] = [
    [["--node-nam", "x"], "unknown flag --node-nam (did you mean --node-name?)"],
    [["--zzzzzz"], "unknown flag --zzzzzz (--help lists the flags)"],
    [["--node-name"], "--node-name needs a value (write --node-name NAME)"],
    [["--node-name", "--ip-masq"], "--node-name needs a value (write --node-name NAME)"],
    [["--healthz-port", "70000"], '--healthz-port: "70000" is not a whole number from 0 to 65535'],
    [["--healthz-port", "-1"], '--healthz-port: "-1" is not a whole number from 0 to 65535'],
    [["--ip-masq=maybe"], '--ip-masq: "maybe" is neither true nor false'],
    [["--log-level", "loud"], '--log-level: "loud" is none of debug, info'],
  ];
  for (const [argv, words] of cases) {
    let message = "";
    try {
      parseFlags(specs, argv);
    } catch (error) {
      message =
        error instanceof Error && "describe" in error
          ? String((error as { describe(): string }).describe())
          : String(error);
    }
    expect(message).toBe(words);
  }
});

test("help shows each flag once, with its default", () => {
  const help = describeFlags(specs, "TWILL");
  expect(help).toContain("--subnet-file FILE");
  expect(help).toContain("where subnet.env is written (default /run/flannel/subnet.env)");
  expect(help.match(/--node-name/g)).toHaveLength(1);
});
