import type { NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { checkMtu, checkOverlap, checkPodDevices, checkTunnels } from "./devices.ts";
import { checkPodRoutes, checkRoutes, checkTunnelEntries, checkUnrouted } from "./entries.ts";
import { checkFirewall } from "./firewall.ts";
import { checkAgent, checkInterface, checkLease } from "./identity.ts";
import { checkBridgeFilter, checkForwarding, checkReversePath, checkTables } from "./settings.ts";

/** What one node's state shows by itself: pure, no packet is sent. A cause a check; no check knows of another. */
export const nodeChecks: readonly ((facts: NodeFacts) => Finding[])[] = [
  checkAgent,
  checkForwarding,
  checkReversePath,
  checkTunnels,
  checkRoutes,
  checkUnrouted,
  checkTunnelEntries,
  checkPodDevices,
  checkPodRoutes,
  checkMtu,
  checkOverlap,
  checkFirewall,
  checkTables,
  checkBridgeFilter,
  checkLease,
  checkInterface,
];
