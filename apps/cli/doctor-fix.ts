import { Reconciler } from "../../src/apply/reconciler.ts";
import { openAttachKernel } from "../../src/attach/attach-kernel.ts";
import { systemClock } from "../../src/base/clock.ts";
import { describeError, TwillError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Finding } from "../../src/insight/finding.ts";
import { openEthtool } from "../../src/kernel/ethtool.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";
import { formatSysctl, kernelSysctls } from "../../src/kernel/sysctl.ts";
import type { NodeState } from "../../src/model/node-state.ts";
import { render } from "../../src/render/render.ts";
import { attachmentOf } from "../agent/cni-service/attachments.ts";
import type { PodRecord } from "../agent/cni-service/pod-record.ts";
import { readLegacy } from "./dead-agent.ts";

/** A link that comes up brings its addresses and routes a flush later. */
const maximumFlushes = 5;

/**
 * Does once, on this node, what a running agent does all the time; and switches forwarding on for single devices, which no
 * agent watches. Nothing is taken away. @returns what was written, each a sentence.
 */
export function fixNode(stateDir: string, sysctlDir: string, findings: readonly Finding[]): string[] {
  const rtnl = openRtnl();
  try {
    const { node, knowledge, pods } = readLegacy(stateDir, rtnl);
    const ours = findings.filter((finding) => finding.node === node);
    if (ours.length === 0) return [];
    return [
      ...fixForwarding(sysctlDir, ours),
      ...(knowledge.state === undefined || !ours.some(({ fixable }) => fixable)
        ? []
        : reconcile(knowledge.state, sysctlDir)),
      ...(ours.some(({ id }) => id === "pod-device" || id === "route") ? repairPods(pods, sysctlDir) : []),
    ];
  } finally {
    rtnl.close();
  }
}

/** The settings that the finding names: "net.ipv4.conf.eth0.forwarding". */
function fixForwarding(sysctlDir: string, findings: readonly Finding[]): string[] {
  const sysctls = kernelSysctls(undefined, sysctlDir);
  return findings
    .filter(({ id }) => id === "forwarding")
    .map(({ subject }) => {
      const [family = "", device] = subject.split(" ");
      const name =
        device !== undefined
          ? ["ipv4", "conf", device, "forwarding"]
          : family === "IPv4"
            ? ["ipv4", "ip_forward"]
            : ["ipv6", "conf", "all", "forwarding"];
      try {
        sysctls.write(name, "1");
      } catch (error) {
        if (!(error instanceof TwillError)) throw error;
        return `not ${formatSysctl(name)}: ${describeError(error)}`;
      }
      return `${formatSysctl(name)} = 1`;
    });
}

function reconcile(state: NodeState, sysctlDir: string): string[] {
  const rtnl = openRtnl();
  try {
    const reconciler = new Reconciler({
      rtnl,
      sysctl: kernelSysctls(undefined, sysctlDir),
      offload: openEthtool(),
      clock: systemClock,
      log: silentLog,
    });
    // Not complete: what the cache does not know of may be somebody's all the same.
    reconciler.setDesired(render(state), { complete: false });
    const writes = new Map<string, number>();
    for (let flush = 0; flush < maximumFlushes; flush++) {
      if (flush > 0) reconciler.resync();
      const report = reconciler.flush();
      for (const [operation, count] of Object.entries(report.writes))
        writes.set(operation, (writes.get(operation) ?? 0) + count);
      if (Object.keys(report.writes).length === 0) break;
    }
    return [...writes].filter(([, count]) => count > 0).map(([operation, count]) => `${operation}: ${count}`);
  } finally {
    rtnl.close();
  }
}

function repairPods(pods: readonly PodRecord[], sysctlDir: string): string[] {
  const kernel = openAttachKernel(undefined, sysctlDir);
  try {
    const groups = Map.groupBy(pods, ({ attachment }) => JSON.stringify(attachment));
    return [...groups.values()].flatMap((group) =>
      group[0] === undefined
        ? []
        : attachmentOf(kernel, group[0].attachment).repair(group.map(({ plan, attached }) => ({ plan, attached })))
            .mended,
    );
  } finally {
    kernel.close();
  }
}
