import type { NftVerdict } from "../../objects/nft-expression.ts";
import { type AttributeReader, NLA_F_NESTED } from "../netlink/attributes.ts";
import { type Codec, NFTA_DATA_VERDICT, string } from "./codec.ts";

/** enum nft_verdict_attributes. */
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;

/** enum nft_verdicts, and NF_DROP, NF_ACCEPT of linux/netfilter.h. Signed. */
const codes = { drop: 0, accept: 1, continue: -1, break: -2, jump: -3, goto: -4, return: -5 } as const;
const names = new Map(Object.entries(codes).map(([name, code]) => [code as number, name as keyof typeof codes]));

/** NFTA_DATA_VERDICT in its nest. */
export const verdict: Codec<NftVerdict> = {
  write: (writer, attribute, value) => {
    writer.nested(attribute | NLA_F_NESTED, () =>
      writer.nested(NFTA_DATA_VERDICT | NLA_F_NESTED, () => {
        writer.u32be(NFTA_VERDICT_CODE, codes[value.verdict] >>> 0);
        if ("chain" in value) writer.string(NFTA_VERDICT_CHAIN, value.chain);
      }),
    );
  },
  read: (attribute) => {
    const outer = attribute.nested();
    let found: NftVerdict | undefined;
    while (outer.next()) {
      if (outer.type !== NFTA_DATA_VERDICT) return undefined;
      found = readVerdict(outer.nested());
    }
    return found;
  },
};

function readVerdict(attributes: AttributeReader): NftVerdict | undefined {
  let name: NftVerdict["verdict"] | undefined;
  let chain: string | undefined;
  while (attributes.next()) {
    if (attributes.type === NFTA_VERDICT_CODE) name = names.get(attributes.u32be() | 0);
    else if (attributes.type === NFTA_VERDICT_CHAIN) chain = string.read(attributes);
    else return undefined;
  }
  if (name === "jump" || name === "goto") return chain === undefined ? undefined : { verdict: name, chain };
  return name === undefined || chain !== undefined ? undefined : { verdict: name };
}
