import { TwillError } from "../base/errors.ts";
import { type Prefix, parseStrictPrefix } from "../base/prefix.ts";
import { type Codec, versioned } from "../store/versioned.ts";

/** Kind of the stored objects: one object for each claimed subnet. Creating it is the claim, for only one can. */
export const SUBNETS = "subnets";

/** A node, and which machine of that name: two machines that were given one name must not share a subnet. */
export interface Holder {
  readonly node: string;
  /** Constant over restarts of the agent, unique to the machine: machine-id or a UUID kept in the agent's state. */
  readonly id: string;
}

/** What is stored under a claimed subnet. */
export interface SubnetClaim {
  /** Absent: reserved for nobody in particular. */
  readonly node?: string;
  /** Absent: reserved for whichever machine of that name comes first. */
  readonly id?: string;
  /** Wall-clock milliseconds since 1970. */
  readonly claimedAt: number;
  /** Made by an administrator: has no time to live, and stays when its node leaves. */
  readonly reserved: boolean;
}

export const heldBy = (claim: SubnetClaim, holder: Holder): boolean =>
  claim.node === holder.node && claim.id === holder.id;

/** A reservation in the node's name that no other machine has taken up. */
export const keptFor = (claim: SubnetClaim, holder: Holder): boolean =>
  claim.reserved && claim.node === holder.node && (claim.id === undefined || claim.id === holder.id);

/** "10.244.1.0-24", "fd00-10-244-1---64": no colon or slash, which paths and Kubernetes names cannot have. */
export const claimName = (subnet: Prefix): string => subnet.replace(/[:/]/g, "-");

/** Undefined when no subnet has that name. */
export function subnetOfName(name: string): Prefix | undefined {
  const dash = name.lastIndexOf("-");
  if (dash < 0) return undefined;
  const base = name.slice(0, dash);
  try {
    const subnet = parseStrictPrefix(
      `${base.includes(".") ? base : base.replaceAll("-", ":")}/${name.slice(dash + 1)}`,
    );
    return claimName(subnet) === name ? subnet : undefined;
  } catch (error) {
    if (error instanceof TwillError) return undefined;
    throw error;
  }
}

/** Version 1. Unknown fields of the object that is replaced are kept. */
export const claimCodec: Codec<SubnetClaim> = versioned({
  what: "subnet claim",
  version: 1,
  fields: ["node", "id", "claimedAt", "reserved"],
  read: ({ node, id, claimedAt, reserved }) => {
    const when = typeof claimedAt === "string" ? Date.parse(claimedAt) : Number.NaN;
    if (!isText(node) || !isText(id) || Number.isNaN(when) || !isFlag(reserved)) {
      throw new TwillError("invalid", "node, id, claimedAt or reserved is of the wrong type");
    }
    const owner = { ...(node !== undefined && { node }), ...(id !== undefined && { id }) };
    return { ...owner, claimedAt: when, reserved: reserved === true };
  },
  write: ({ node, id, claimedAt, reserved }) => ({
    node,
    id,
    claimedAt: new Date(claimedAt).toISOString(),
    ...(reserved && { reserved }),
  }),
});

const isText = (value: unknown): value is string | undefined => value === undefined || typeof value === "string";
const isFlag = (value: unknown): value is boolean | undefined => value === undefined || typeof value === "boolean";
