import { describe, expect, test } from "bun:test";
import type { Address } from "../../base/address.ts";
import type { Mac } from "../../base/mac.ts";
import { CniError } from "./cni-error.ts";
import { parseEnvironment } from "./environment.ts";
import { parseArguments } from "./pod-arguments.ts";

const kubelet = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "0cbbd04de2db",
  CNI_NETNS: "/var/run/netns/cni-3c1b",
  CNI_IFNAME: "eth0",
  CNI_ARGS:
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=0cbbd04de2db;K8S_POD_UID=1f2e-3d",
  CNI_PATH: "/opt/cni/bin",
};

function failure(attempt: () => unknown): CniError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
  throw new Error("accepted");
}

describe("environment", () => {
  test("ADD as kubelet's runtime calls it", () => {
    expect(parseEnvironment(kubelet)).toEqual({
      command: "ADD",
      containerId: "0cbbd04de2db",
      netns: "/var/run/netns/cni-3c1b",
      ifname: "eth0",
      args: { podNamespace: "default", podName: "web-0", podUid: "1f2e-3d" },
    });
  });

  test("DEL may come without a namespace; CHECK and ADD may not", () => {
    const gone = { ...kubelet, CNI_COMMAND: "DEL", CNI_NETNS: "" };
    expect(parseEnvironment(gone)).not.toHaveProperty("netns");
    for (const command of ["ADD", "CHECK"]) {
      expect(() => parseEnvironment({ ...gone, CNI_COMMAND: command })).toThrow("CNI_NETNS is missing");
    }
  });

  test("GC, STATUS and VERSION need nothing else", () => {
    for (const command of ["GC", "STATUS", "VERSION"] as const) {
      expect(parseEnvironment({ CNI_COMMAND: command })).toEqual({ command });
    }
  });

  for (const [change, message] of [
    [{ CNI_COMMAND: undefined }, "CNI_COMMAND is missing"],
    [{ CNI_COMMAND: "add" }, 'CNI_COMMAND "add" is not known'],
    [{ CNI_CONTAINERID: "" }, "CNI_CONTAINERID is missing"],
    [{ CNI_CONTAINERID: "-x" }, "CNI_CONTAINERID"],
    [{ CNI_CONTAINERID: "../../etc" }, "CNI_CONTAINERID"],
    [{ CNI_CONTAINERID: "a".repeat(201) }, "CNI_CONTAINERID"],
    [{ CNI_NETNS: "netns/x" }, "CNI_NETNS"],
    [{ CNI_NETNS: "/a\0b" }, "CNI_NETNS"],
    [{ CNI_IFNAME: undefined }, "CNI_IFNAME is missing"],
    [{ CNI_IFNAME: "a".repeat(16) }, "longer than 15"],
    [{ CNI_IFNAME: "éééééééé" }, "longer than 15"],
    [{ CNI_IFNAME: "." }, "is a directory"],
    [{ CNI_IFNAME: ".." }, "is a directory"],
    [{ CNI_IFNAME: "a/b" }, "slash"],
    [{ CNI_IFNAME: "a:b" }, "colon"],
    [{ CNI_IFNAME: "a b" }, "space"],
    [{ CNI_IFNAME: "eth%d" }, "%"],
    [{ CNI_ARGS: "K8S_POD_NAME" }, "not of the form NAME=VALUE"],
    [{ CNI_ARGS: "K8S_POD_NAME=../x" }, "K8S_POD_NAME"],
    [{ CNI_ARGS: "COLOUR=red" }, '"COLOUR" is not known'],
    [{ CNI_ARGS: "__proto__=red" }, '"__proto__" is not known'],
    [{ CNI_ARGS: "IP=10.1.2" }, "IP"],
    [{ CNI_ARGS: "MAC=01:00:5e:00:00:01" }, "MAC"],
  ] as const) {
    test(`code 4: ${JSON.stringify(change)}`, () => {
      const error = failure(() => parseEnvironment({ ...kubelet, ...change }));
      expect(error.cniCode).toBe(4);
      expect(error.message).toContain(message);
      expect(error.remedy).toBeString();
    });
  }

  test("all wrong variables are named at once", () => {
    const { message } = failure(() => parseEnvironment({ CNI_COMMAND: "ADD" }));
    expect(message).toBe("CNI_CONTAINERID is missing; CNI_IFNAME is missing; CNI_NETNS is missing");
  });

  test("15 characters are a name", () => {
    expect(parseEnvironment({ ...kubelet, CNI_IFNAME: "a".repeat(15) })).toHaveProperty("ifname", "a".repeat(15));
  });
});

test("CNI_ARGS: address, MAC, empty values, unknown ones ignored on demand", () => {
  expect(parseArguments("IP=10.1.2.3/24;MAC=0E:12:34:56:78:9A;;K8S_POD_UID=")).toEqual({
    ip: "10.1.2.3" as Address,
    mac: "0e:12:34:56:78:9a" as Mac,
  });
  expect(parseArguments("COLOUR=red;IgnoreUnknown=true")).toEqual({});
  expect(parseArguments("")).toEqual({});
});
