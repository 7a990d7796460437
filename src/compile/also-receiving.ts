import { covers } from "../base/prefix.ts";
import type { LocalNode } from "../model/node.ts";
import type { Masquerade, OwnState, SysctlSetting } from "../model/node-state.ts";

/**
 * The state of a node that sends by one configuration and receives by others, too: every tunnel stands, every network is
 * the cluster's own, and pods receive what anybody may send, but send no more than all can receive.
 */
export function alsoReceiving(sending: OwnState, others: readonly OwnState[], local: LocalNode): OwnState {
  const all = [sending, ...others];
  // A tunnel of both configurations has the MTU of the one by which the node sends: on the other end it limits nothing.
  const tunnels = distinct(
    all.flatMap((state) => state.tunnels),
    ({ name }) => name,
  );
  const mtus = all.map((state) => state.podMtu);
  const [podMtu, podSendMtu] = [Math.max(...mtus), Math.min(...mtus)];
  const masquerade = together(all.flatMap((state) => state.masquerade ?? []));
  const { podSendMtu: _, ...rest } = sending;
  return {
    ...rest,
    tunnels,
    ...(masquerade === undefined ? {} : { masquerade }),
    podMtu,
    ...(podSendMtu < podMtu ? { podSendMtu } : {}),
    sysctls: distinct([...all.flatMap((state) => state.sysctls), ...looseUnderlay(local)], ({ name }) =>
      name.join("/"),
    ),
    problems: distinct(
      all.flatMap((state) => state.problems),
      (problem) => JSON.stringify(problem),
    ),
  };
}

/**
 * A peer's packets come by the underlay itself while this node still sends to it by a tunnel, or the reverse: strict reverse
 * path filtering would drop them. The kernel takes the larger of this and conf/all (IN_DEV_RPFILTER), so loose wins.
 */
const looseUnderlay = ({ underlay: { device, ipv4 } }: LocalNode): readonly SysctlSetting[] =>
  ipv4 === undefined ? [] : [{ name: ["ipv4", "conf", device, "rp_filter"], value: "2", device }];

function together([first, ...rest]: readonly Masquerade[]): Masquerade | undefined {
  if (first === undefined) return undefined;
  const networks = [...new Set([first, ...rest].flatMap((each) => each.networks))];
  return {
    networks: networks.filter((network) => !networks.some((other) => other !== network && covers(other, network))),
    local: [...new Set([first, ...rest].flatMap((each) => each.local))],
    families: [...new Set([first, ...rest].flatMap((each) => each.families))],
  };
}

/** The first of each key. */
function distinct<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
  const found = new Map<string, T>();
  for (const item of items) if (!found.has(key(item))) found.set(key(item), item);
  return [...found.values()];
}
