import { expect, test } from "bun:test";
import { testNetns } from "../../test/support/netns.ts";
import { isCode } from "../base/errors.ts";
import { FakeSysctls } from "./fake-sysctl.ts";
import { formatSysctl, kernelSysctls, type SysctlName } from "./sysctl.ts";

const code = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    for (const name of ["invalid", "not-found", "denied"] as const) if (isCode(error, name)) return name;
    throw error;
  }
  return "done";
};

test("a value is written into the namespace given and into no other", () => {
  const [a, b] = [testNetns(), testNetns()];
  const name: SysctlName = ["ipv4", "ip_forward"];
  const before = kernelSysctls().read(name);
  kernelSysctls(a.fd).write(name, "1");
  kernelSysctls(b.fd).write(name, "0");
  expect(kernelSysctls(a.fd).read(name)).toBe("1");
  expect(kernelSysctls(b.fd).read(name)).toBe("0");
  expect(a.run("cat", "/proc/sys/net/ipv4/ip_forward").trim()).toBe("1");
  expect(kernelSysctls().read(name)).toBe(before);
});

test("a device with a dot in its name is reached, and its sysctls go with it", () => {
  const netns = testNetns();
  netns.rtnl.do({ op: "link.add", spec: { name: "br.7", kind: { type: "bridge" } } });
  const sysctls = kernelSysctls(netns.fd);
  sysctls.write(["ipv4", "conf", "br.7", "rp_filter"], "2");
  expect(sysctls.read(["ipv4", "conf", "br.7", "rp_filter"])).toBe("2");
  netns.rtnl.do({ op: "link.delete", index: netns.indexOf("br.7") });
  expect(sysctls.tryRead(["ipv4", "conf", "br.7", "rp_filter"])).toBeUndefined();
});

test("the name is printed as sysctl(8) reads it", () => {
  expect(formatSysctl(["ipv4", "conf", "br.7", "rp_filter"])).toBe("net.ipv4.conf.br/7.rp_filter");
});

test("names that lead elsewhere, unknown variables and bad values are told apart", () => {
  const fake = new FakeSysctls([[["ipv4", "ip_forward"], "0"]]);
  for (const sysctls of [kernelSysctls(testNetns().fd), fake]) {
    expect(code(() => sysctls.read(["ipv4", "conf", "..", "ip_forward"]))).toBe("invalid");
    expect(code(() => sysctls.write(["ipv4", "conf", "a/b", "rp_filter"], "1"))).toBe("invalid");
    expect(code(() => sysctls.read(["ipv4", "no_such"]))).toBe("not-found");
    expect(code(() => sysctls.write(["ipv4", "conf", "none0", "rp_filter"], "1"))).toBe("not-found");
    expect(code(() => sysctls.write(["ipv4", "ip_forward"], "1"))).toBe("done");
  }
  expect(code(() => kernelSysctls(testNetns().fd).write(["ipv4", "ip_forward"], "yes"))).toBe("invalid");
});

test("the fake forgets a deleted device", () => {
  const fake = new FakeSysctls([[["ipv6", "conf", "br.7", "accept_ra"], "1"]]);
  fake.removeDevice("br.7");
  expect(fake.tryRead(["ipv6", "conf", "br.7", "accept_ra"])).toBeUndefined();
});
