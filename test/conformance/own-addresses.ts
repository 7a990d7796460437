import { type Address, familyOf } from "../../src/base/address.ts";
import { openRtnl } from "../../src/kernel/rtnl-socket.ts";

const loopback = 1;

/** The first address of each family that a namespace's devices have, for others to reach it by. */
export function ownAddresses(netns: number): Address[] {
  const rtnl = openRtnl({ netns });
  try {
    const all = rtnl.addresses().filter(({ scope, device }) => scope === "universe" && device !== loopback);
    return ([4, 6] as const).flatMap(
      (family) => all.find(({ address }) => familyOf(address) === family)?.address ?? [],
    );
  } finally {
    rtnl.close();
  }
}
