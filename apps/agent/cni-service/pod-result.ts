import type { Attached } from "../../../src/attach/attachment.ts";
import { familyOf } from "../../../src/base/address.ts";
import { parseMac } from "../../../src/base/mac.ts";
import type { CniDns, CniInterface, CniIp, CniResult } from "../../../src/intent/cni/result.ts";
import type { PodRecord } from "./pod-record.ts";

/** What ADD answers: the host's end first (bandwidth looks for it there), `ips` on the pod's (portmap looks there). */
export function podResult({ attached, plan, netns }: PodRecord, dns: CniDns | undefined): CniResult {
  const { host, pod } = attached;
  const interfaces: CniInterface[] = [...(host === undefined ? [] : [host]), { ...pod, sandbox: netns }];
  const ips = plan.addresses.map((address): CniIp => {
    const gateway = attached.gateways.find((candidate) => familyOf(candidate) === familyOf(address.address));
    return { address, interface: interfaces.length - 1, ...(gateway === undefined ? {} : { gateway }) };
  });
  const routes = attached.routes.map(({ destination, gateway }) => ({
    dst: destination,
    ...(gateway === undefined ? {} : { gw: gateway }),
  }));
  return { interfaces, ips, routes, ...(dns === undefined ? {} : { dns }) };
}

/**
 * What was made, as the chain left it: a plugin behind ours (tuning) may have changed the MAC or MTU, and says so in its result.
 * @param currentMtu for results before CNI 1.1, which have no word for an MTU: then any is right.
 */
export function attachedAccordingTo(
  attached: Attached,
  previous: CniResult,
  currentMtu: () => number | undefined,
): Attached {
  const { pod } = attached;
  const said = previous.interfaces.find(({ name, sandbox }) => name === pod.name && (sandbox ?? "") !== "");
  const mac = said?.mac === undefined ? pod.mac : parseMac(said.mac);
  return { ...attached, pod: { ...pod, mac, mtu: said?.mtu ?? currentMtu() ?? pod.mtu } };
}

/** Differences between the result that the runtime remembers and what we do, each a sentence. */
export function checkResult({ plan, attached }: PodRecord, previous: CniResult): string[] {
  const { ifname } = plan.key;
  const wrong: string[] = [];
  const index = previous.interfaces.findIndex(({ name, sandbox }) => name === ifname && (sandbox ?? "") !== "");
  if (index < 0) wrong.push(`prevResult has no interface ${ifname} in the pod`);
  if (attached.host !== undefined && !previous.interfaces.some(({ name }) => name === attached.host?.name)) {
    wrong.push(`prevResult lacks the node's device ${attached.host.name}`);
  }
  for (const { address } of plan.addresses) {
    if (previous.ips.some((ip) => ip.address.address === address)) continue;
    wrong.push(`prevResult lacks the address ${address}`);
  }
  for (const ip of previous.ips) {
    if (ip.interface !== index || plan.addresses.some(({ address }) => address === ip.address.address)) continue;
    wrong.push(`prevResult has the address ${ip.address.address}, which was not given to this pod`);
  }
  return wrong;
}
