import { type Address, type Family, familyOf } from "../base/address.ts";
import { type ErrorCode, TwillError } from "../base/errors.ts";
import type { Block } from "./block.ts";

/** Why a pod does not get an address, each with its own way out. Times are given as what is left, in seconds. */

export function addressesExhausted(blocks: readonly Block[], now: number): TwillError {
  const size = blocks.reduce((sum, block) => sum + block.size, 0n);
  const quarantined = blocks.reduce((sum, block) => sum + block.quarantined(now), 0);
  const next = Math.min(...blocks.map((block) => block.nextFreeAt() ?? Number.POSITIVE_INFINITY));
  const waiting =
    quarantined === 0 ? "" : ` (${quarantined} of them in quarantine, the next is free in ${seconds(next - now)})`;
  return new TwillError("exhausted", `all ${size} addresses of ${prefixesOf(blocks)} are in use${waiting}`, {
    operation: "assign address",
    remedy:
      quarantined === 0
        ? "delete pods, lower the kubelet's maxPods, or give nodes larger subnets (SubnetLen)"
        : "try again then",
  });
}

export const noSubnet = (family: Family): TwillError =>
  new TwillError("invalid", `this node has no IPv${family} subnet`, {
    operation: "assign address",
    remedy: `give the network an IPv${family} range, or do not ask for IPv${family} addresses`,
  });

export const addressOutside = (address: Address, blocks: readonly Block[]): TwillError =>
  refused(
    "invalid",
    address,
    `it is outside this node's subnets (${prefixesOf(blocks) || `none is IPv${familyOf(address)}`})`,
    "request an address of the node that the pod is bound to, or bind the pod to the node that has it",
  );

export const addressReserved = (address: Address, block: Block): TwillError =>
  refused(
    "invalid",
    address,
    `it is kept for the network, the gateway or the broadcast address of ${block.prefix}`,
    "request another address",
  );

export const addressUsed = (address: Address, owner = "another pod"): TwillError =>
  refused("conflict", address, `${owner} has it`, "delete that pod first, or request another address");

export const addressQuarantined = (address: Address, left: number): TwillError =>
  refused(
    "unavailable",
    address,
    `it was released only a moment ago and is in quarantine for ${seconds(left)} more`,
    "try again then",
  );

const refused = (code: ErrorCode, address: Address, message: string, remedy: string): TwillError =>
  new TwillError(code, message, { operation: "assign requested address", object: address, remedy });

const prefixesOf = (blocks: readonly Block[]): string => blocks.map(({ prefix }) => prefix).join(", ");

const seconds = (milliseconds: number): string => `${Math.max(1, Math.ceil(milliseconds / 1000))} s`;
