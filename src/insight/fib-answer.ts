import type { NftExpressionOf } from "../objects/nft-expression.ts";
import type { KernelView } from "./kernel-view.ts";
import type { FilteredPacket } from "./probe-packet.ts";
import { lookupRoute } from "./route-lookup.ts";

/**
 * What a rule's `fib saddr … oif` reads (nft_fib_ipv4.c): index of the device by which the source would be answered, host order; 0 where
 * there is none, and with `iif` where it is not the one by which the packet came. Undefined: another question, not known.
 */
export function fibAnswer(
  view: KernelView,
  packet: FilteredPacket,
  input: { readonly name: string; readonly index: number },
  { result, flags }: NftExpressionOf<"fib">,
): Uint8Array | undefined {
  if (result !== "oif" || !flags.includes("saddr") || flags.includes("mark")) return undefined;
  const { found } = lookupRoute(view, { destination: packet.source });
  if (found?.hops !== undefined) return undefined;
  const index = found?.device ?? 0;
  return index32(flags.includes("iif") && index !== input.index ? 0 : index);
}

const index32 = (index: number): Uint8Array => new Uint8Array(Uint32Array.of(index).buffer);
