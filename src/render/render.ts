import { baseOf, lengthOf } from "../base/prefix.ts";
import type { NodeState, OwnState, PeerState, StateChange } from "../model/node-state.ts";
import type { DesiredChange, DesiredKernel, DesiredOwn, DesiredPeer } from "../objects/desired.ts";

/** NodeState → the kernel objects that rtnetlink and sysctl hold (nftables: masquerade.ts). Pure, and part by part. */
export function render(state: NodeState): DesiredKernel;
export function render(change: StateChange): DesiredChange;
export function render({ own, peers }: StateChange): DesiredChange {
  const parts = [...peers].map(([name, peer]) => [name, peer && renderPeer(peer)] as const);
  return { ...(own === undefined ? {} : { own: renderOwn(own) }), peers: new Map(parts) };
}

function renderOwn({ tunnels, sysctls }: OwnState): DesiredOwn {
  return {
    links: tunnels.map(({ addresses: _, ...link }) => link),
    addresses: tunnels.flatMap(({ name: device, addresses }) =>
      addresses.map((prefix) => ({ device, address: baseOf(prefix), length: lengthOf(prefix) })),
    ),
    sysctls,
  };
}

/** The very same entries: with thousands of peers, copies would be what the agent's memory is filled with. */
const renderPeer = ({ neighbours, forwarding, routes }: PeerState): DesiredPeer => ({
  neighbours,
  fdb: forwarding,
  routes,
});
