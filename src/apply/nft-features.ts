import { isCode, TwillError } from "../base/errors.ts";
import { ENOENT } from "../kernel/errno.ts";
import type { Nft } from "../kernel/nft.ts";
import type { NftFeature } from "../objects/nft-feature.ts";
import { tableOperations } from "./nft-table.ts";

export interface MissingFeature {
  readonly feature: NftFeature;
  /** What the kernel said. */
  readonly error: TwillError;
}

/**
 * Which of these the kernel lacks. Each is tried in a transaction of its own that makes a table and deletes it again, so that nothing of it
 * ever acts on a packet or stays behind.
 * @throws TwillError when nf_tables cannot be asked at all.
 */
export const missingFeatures = (nft: Nft, features: readonly NftFeature[]): MissingFeature[] =>
  features.flatMap((feature) => {
    const error = attempt(nft, feature);
    return error === undefined ? [] : [{ feature, error }];
  });

function attempt(nft: Nft, { content }: NftFeature): TwillError | undefined {
  const { family, name } = content.table;
  try {
    nft.transaction([...tableOperations(content), { op: "table.delete", family, table: name }]);
  } catch (error) {
    if (!(error instanceof TwillError) || isCode(error, "denied") || isCode(error, "unavailable")) throw error;
    return error;
  }
  return undefined;
}

/** "conntrack labels (Linux 2.6.38, CONFIG_NF_CONNTRACK_LABELS): Operation not supported (EOPNOTSUPP)" */
export const describeMissing = ({ feature, error }: MissingFeature): string =>
  `${feature.name} (${feature.since}): ${error.errno === ENOENT ? "no such kernel module" : error.message}`;
