import type { NftTableContent } from "./nft.ts";

/** Something that a kernel may not have, with the smallest table that needs it. */
export interface NftFeature {
  /** As people know it: "conntrack labels". */
  readonly name: string;
  /** The first kernel that has it, and the module or option that it is built from. */
  readonly since: string;
  readonly content: NftTableContent;
}
