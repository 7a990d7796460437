import { type NftExpression, type NftNatFlag, natFlags } from "../../objects/nft-expression.ts";
import { bitsOf, type Fields, named, namesOf, oneOf, register, type Struct, struct, u32 } from "./codec.ts";

/** linux/netfilter/nf_nat.h: the bits that say which registers are given stand below the ones that a user chooses. */
const NF_NAT_RANGE_MAP_IPS = 1;
const NF_NAT_RANGE_PROTO_SPECIFIED = 2;
const firstChosen = 2;

interface Registers {
  readonly address?: number;
  readonly addressEnd?: number;
  readonly port?: number;
  readonly portEnd?: number;
}

type Given = Registers & { readonly flags?: readonly NftNatFlag[] };
type OnWire = Registers & { readonly flags: number };

const registers = ["address", "addressEnd", "port", "portEnd"] as const;
const flags = { attribute: 0, codec: u32, fallback: 0 };

/** Fields besides `fields` pass through as they are. */
function translated<T extends OnWire>(wire: Struct<T>): Struct<NftExpression> {
  return {
    write: (writer, expression) => {
      const value = expression as Given;
      const implied =
        (value.address === undefined ? 0 : NF_NAT_RANGE_MAP_IPS) |
        (value.port === undefined ? 0 : NF_NAT_RANGE_PROTO_SPECIFIED);
      // 0 is left out: it is what the kernel reports by leaving it out.
      const bits = implied | (bitsOf(natFlags, value.flags ?? []) << firstChosen);
      wire.write(writer, { ...value, flags: bits === 0 ? undefined : bits } as unknown as T);
    },
    // The kernel sets the implied bits by itself in nat and redirect, not in masquerade, and reports an end for every
    // range: both are taken away, so that what was written is what is read.
    read: (attributes) => {
      const value = wire.read(attributes);
      if (value === undefined) return undefined;
      const { flags: bits = 0, address, addressEnd, port, portEnd, ...rest } = value;
      const chosen = namesOf(natFlags, bits >>> firstChosen);
      if (chosen === undefined) return undefined;
      const found = {
        ...rest,
        address,
        addressEnd: addressEnd === address ? undefined : addressEnd,
        port,
        portEnd: portEnd === port ? undefined : portEnd,
        flags: chosen.length === 0 ? undefined : chosen,
      };
      return Object.fromEntries(
        Object.entries(found).filter(([, field]) => field !== undefined),
      ) as unknown as NftExpression;
    },
  };
}

interface NatOnWire extends OnWire {
  readonly type: "nat";
  readonly kind: "snat" | "dnat";
  readonly family: 4 | 6;
}

/** enum nft_nat_attributes. */
export const natStruct = translated(
  struct<NatOnWire>(
    { type: "nat" },
    {
      kind: { attribute: 1, codec: oneOf(["snat", "dnat"]) },
      family: { attribute: 2, codec: named({ 4: 2, 6: 10 }) }, // AF_INET, AF_INET6
      address: { attribute: 3, codec: register },
      addressEnd: { attribute: 4, codec: register },
      port: { attribute: 5, codec: register },
      portEnd: { attribute: 6, codec: register },
      flags: { ...flags, attribute: 7 },
    },
    { optional: [...registers] },
  ),
);

type PortsOnWire = Omit<OnWire, "address" | "addressEnd"> & { readonly type: "masquerade" | "redirect" };

/** enum nft_masq_attributes and nft_redir_attributes: the same three under different numbers. */
export function portRangeStruct(
  type: "masquerade" | "redirect",
  numbers: Readonly<Record<"flags" | "port" | "portEnd", number>>,
): Struct<NftExpression> {
  const fields: Fields<PortsOnWire> = {
    port: { attribute: numbers.port, codec: register },
    portEnd: { attribute: numbers.portEnd, codec: register },
    flags: { ...flags, attribute: numbers.flags },
  };
  return translated(struct<PortsOnWire>({ type }, fields, { optional: ["port", "portEnd"] }));
}
