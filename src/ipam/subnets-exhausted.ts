import { TwillError } from "../base/errors.ts";
import { subnetCount } from "../base/prefix.ts";
import type { ClaimView } from "./claim-view.ts";

/** Says how many there are, how many of them will never come back by themselves, and when the next one may. */
export function subnetsExhausted(view: ClaimView): TwillError {
  const { range, count } = view.space;
  const { network, subnetLength, subnetMin, subnetMax } = range;
  const whole = subnetCount(network, subnetLength) === BigInt(count);
  const which = whole ? `${count} subnets of ${network}` : `${count} subnets from ${subnetMin} to ${subnetMax}`;
  const { reserved, firstEnd } = view.summary();
  const notes = [
    ...(reserved > 0 ? [`${reserved} of them reserved`] : []),
    ...(firstEnd === undefined ? [] : [`the next lease ends ${new Date(firstEnd).toISOString()} unless it is renewed`]),
  ];
  return new TwillError("exhausted", `all ${which} are leased${notes.length > 0 ? ` (${notes.join("; ")})` : ""}`, {
    operation: "claim subnet",
    object: `of ${network}`,
    remedy:
      "release the subnets of nodes that are gone (twill get subnets lists them), or enlarge Network or SubnetLen",
  });
}
