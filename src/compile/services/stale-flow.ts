import { type Address, familyOf } from "../../base/address.ts";
import {
  type Frontend,
  frontendKey,
  nodePortKey,
  type ServicesChange,
  type ServicesState,
} from "../../model/services-state.ts";

/** A connection as it began, and who answers it. */
export interface TranslatedFlow {
  readonly protocol: number;
  readonly destination: Address;
  readonly destinationPort: number;
  readonly endpoint: Address;
  readonly endpointPort: number;
  /** It came through a Service, whether or not that is still there (`labels.pool`). */
  readonly throughService: boolean;
}

/**
 * Whether a Service would give this connection another endpoint than it has, for that one is gone; also one that began before its Service
 * was there. A datagram's connection would live on for ever: it has no end but silence. What another program translated to a good endpoint
 * is as good as ours.
 * @param nodeAddresses where node ports are.
 */
export function isStale(flow: TranslatedFlow, state: ServicesState, nodeAddresses: ReadonlySet<Address>): boolean {
  const frontend = frontendOf(flow, state, nodeAddresses);
  if (frontend === undefined) return flow.throughService;
  const isIn = (pool: Frontend["inside"]): boolean =>
    state.pools
      .get(pool)
      ?.backends.some(({ address, port }) => address === flow.endpoint && port === flow.endpointPort) === true;
  return !isIn(frontend.inside) && !isIn(frontend.outside);
}

function frontendOf(
  { destination, protocol, destinationPort }: TranslatedFlow,
  { frontends, nodePorts }: ServicesState,
  nodeAddresses: ReadonlySet<Address>,
): Frontend | undefined {
  const found = frontends.get(frontendKey(destination, protocol, destinationPort));
  if (found !== undefined || !nodeAddresses.has(destination)) return found;
  return nodePorts.get(nodePortKey(familyOf(destination), protocol, destinationPort));
}

/** Whether a change may have made connections of that protocol stale: else nobody needs to look. */
export function mayMakeStale({ frontends, nodePorts, pools }: ServicesChange, protocol: number): boolean {
  const keys = [...frontends.keys(), ...nodePorts.keys()];
  // A pool that is gone goes with a frontend, or is told by one.
  return (
    keys.some((key) => key.split("/")[1] === String(protocol)) ||
    [...pools.values()].some((pool) => pool?.protocol === protocol)
  );
}
