import type { Rtnl } from "../../src/kernel/rtnl.ts";
import type { Endpoint } from "./result.ts";

/** Where an endpoint is, for the prober. */
export interface ProbePlace extends Endpoint {
  /** Namespace from which it sends and in which it answers, an open descriptor. */
  readonly netns: number;
  /** Reads the devices of its node. */
  readonly counters: Rtnl;
}
