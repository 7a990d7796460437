import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeSysctls } from "../../src/kernel/fake-sysctl.ts";
import type { SysctlName, Sysctls } from "../../src/kernel/sysctl.ts";
import { SysctlLedger } from "./sysctl-ledger.ts";

const forward: SysctlName = ["ipv4", "ip_forward"];
const redirects: SysctlName = ["ipv4", "conf", "all", "accept_redirects"];
const filter: SysctlName = ["ipv4", "conf", "eth0", "rp_filter"];

function withFile(work: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "twill-ledger-"));
  try {
    work(join(folder, "sysctls.json"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const kernel = () =>
  new FakeSysctls([
    [forward, "0"],
    [redirects, "1"],
    [filter, "1"],
  ]);

test("the first value is what comes back, whatever was written since, by whichever process", () => {
  withFile((path) => {
    const sysctls = kernel();
    new SysctlLedger(sysctls, path).write(filter, "2");
    new SysctlLedger(sysctls, path).write(filter, "0");
    expect(sysctls.read(filter)).toBe("0");
    expect(new SysctlLedger(sysctls, path).restore()).toEqual(["ipv4/conf/eth0/rp_filter = 1"]);
    expect(sysctls.read(filter)).toBe("1");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

test("what the kernel changes along with forwarding comes back too", () => {
  withFile((path) => {
    const sysctls = kernel();
    const ledger = new SysctlLedger(sysctls, path);
    ledger.write(forward, "1");
    sysctls.write(redirects, "0"); // the kernel does this
    ledger.restore();
    expect([sysctls.read(forward), sysctls.read(redirects)]).toEqual(["0", "1"]);
  });
});

test("the old value is on disk before the kernel is written", () => {
  withFile((path) => {
    const sysctls = kernel();
    const seen: string[] = [];
    const spy: Sysctls = {
      read: (name) => sysctls.read(name),
      tryRead: (name) => sysctls.tryRead(name),
      write: (name, value) => {
        seen.push(readFileSync(path, "utf8"));
        sysctls.write(name, value);
      },
    };
    new SysctlLedger(spy, path).write(filter, "2");
    expect(JSON.parse(seen[0] ?? "").before).toEqual([{ name: [...filter], value: "1" }]);
  });
});

test("a device that is gone is left out, a damaged file is an error with a remedy", () => {
  withFile((path) => {
    const sysctls = kernel();
    new SysctlLedger(sysctls, path).write(filter, "2");
    sysctls.removeDevice("eth0");
    expect(new SysctlLedger(sysctls, path).restore()).toEqual([]);
    writeFileSync(path, "{");
    expect(() => new SysctlLedger(sysctls, path)).toThrow("not a list of kernel settings");
  });
});
