import { TwillError } from "../../base/errors.ts";
import { type JsonMember, type JsonNode, parseJson, plainValue } from "../../base/json.ts";
import { parsePrefix } from "../../base/prefix.ts";
import { backendFields, backendsWith, laterBackends } from "../flannel/backend-fields.ts";
import { parseNetConf } from "../flannel/net-conf.ts";
import { networkFields } from "../flannel/network-fields.ts";
import type { Draft } from "./draft.ts";
import type { Outcome } from "./finding.ts";
import type { Path } from "./leaves.ts";
import type { Ledger, ObjectReader } from "./ledger.ts";

/**
 * Flannel's net-conf.json out of a ConfigMap. Kept to the letter where Twill reads it as it stands; Flannel leaves aside what it does not
 * know, Twill refuses that, so otherwise it is written anew without.
 * @throws TwillError `invalid`: no JSON, or a network that Twill cannot have.
 */
export function carryNetConf(object: ObjectReader, path: Path, ledger: Ledger, draft: Draft): void {
  const text = String(object.at(...path));
  const source = `${object.title}: net-conf.json`;
  object.claim(path);
  const carrier = new NetConfCarrier(object.title, ledger, draft);
  const { root } = parseJson(text, { source });
  if (root.kind !== "object")
    throw new TwillError("invalid", `${source} is not an object`, { remedy: "write { and }" });
  const written = carrier.members(root.members);
  if (carrier.open) return;
  draft.netConf = carrier.asWritten ? text : `${JSON.stringify(written, null, 2)}\n`;
  parseNetConf(draft.netConf, { source, allowExtension: true });
}

/** What Flannel has that Twill has not, and what is nearest to it. A refusal names what would be lost. */
const replacements: Readonly<Record<string, { readonly refused: boolean; readonly reason: string }>> = {
  udp: {
    refused: false,
    reason:
      "udp copies each packet through a process; vxlan does the same in the kernel. Open UDP port 8472 between nodes",
  },
  ipip: {
    refused: false,
    reason:
      "IP-in-IP comes in a later version; vxlan joins the same nodes with 30 bytes more a packet. Open UDP port 8472 between nodes",
  },
  wireguard: { refused: true, reason: "WireGuard comes in a later version, and nothing else here encrypts" },
  ipsec: { refused: true, reason: "IPsec is not in Twill, and nothing else here encrypts" },
  "aws-vpc": { refused: true, reason: "writing routes into a VPC's tables comes in a later version" },
};

class NetConfCarrier {
  /** Nothing was changed so far. */
  asWritten = true;
  /** A refusal leaves the network undecided. */
  open = false;
  readonly #object: string;
  readonly #ledger: Ledger;
  readonly #draft: Draft;

  constructor(object: string, ledger: Ledger, draft: Draft) {
    this.#object = object;
    this.#ledger = ledger;
    this.#draft = draft;
  }

  members(members: readonly JsonMember[]): Record<string, unknown> {
    const written: Record<string, unknown> = {};
    for (const [name, { key, value }] of this.#known(Object.keys(networkFields), members, "")) {
      if (name === "Backend") {
        written.Backend = this.#backend(value);
      } else if (name === "Network" || name === "IPv6Network") {
        written[name] = this.#network(name, value);
      } else {
        written[name] = plainValue(value);
        const reason = name === "EnableNFTables" ? "kept; Twill always uses nftables" : `${name} of net-conf.json`;
        this.#note(key, value, "carried", reason);
      }
    }
    return written;
  }

  /** As Go's encoding/json: names in any case, of two the later, null is absent. What is left over is named. */
  #known(names: readonly string[], members: readonly JsonMember[], prefix: string): Map<string, JsonMember> {
    const known = new Map<string, JsonMember>();
    for (const member of members) {
      const name = names.find((candidate) => candidate.toLowerCase() === member.key.toLowerCase());
      if (name === undefined) {
        const owners = prefix === "" ? [] : backendsWith(member.key);
        const reason =
          owners.length > 0
            ? `an option of ${owners.join(" and ")}; Flannel leaves it aside here, Twill would refuse it`
            : "not a field of Flannel's documentation; Flannel leaves aside what it does not know, Twill would refuse it";
        this.#change(prefix + member.key, member.value, owners.length > 0 ? "left-out" : "unknown", reason);
        continue;
      }
      const twin = known.get(name);
      if (twin !== undefined) {
        this.#change(
          prefix + twin.key,
          twin.value,
          "left-out",
          `"${member.key}" stands behind it, and Flannel takes the later`,
        );
      }
      known.set(name, member);
    }
    return known;
  }

  #network(name: string, value: JsonNode): unknown {
    if (value.kind !== "string") {
      this.#note(name, value, "carried", `${name} of net-conf.json`);
      return plainValue(value);
    }
    const network = tryPrefix(value.value);
    if (network === undefined || network === value.value) {
      this.#note(name, value, "carried", `${name} of net-conf.json`);
      return value.value;
    }
    this.#change(name, value, "changed", `${network}: the same network, written without host bits`);
    return network;
  }

  #backend(value: JsonNode): unknown {
    if (value.kind !== "object") {
      this.#note("Backend", value, "carried", "Backend of net-conf.json");
      return plainValue(value);
    }
    const typed = value.members.findLast(({ key }) => key.toLowerCase() === "type");
    const written = typed?.value.kind === "string" ? typed.value.value : undefined;
    // Without a type: parseNetConf says what is wrong.
    if (typed === undefined || written === undefined) return plainValue(value);
    const type = written.toLowerCase();
    if (Object.hasOwn(backendFields, type)) {
      if (type === "extension" && !this.#allowExtension(typed.value)) this.open = true;
      else if (type !== "extension")
        this.#note("Backend.Type", typed.value, "carried", "Backend.Type of net-conf.json");
      return this.#options(type, type, value.members);
    }
    const replacement = replacements[type] ?? { refused: true, reason: "Twill does not have this backend" };
    if (!replacement.refused) {
      this.#change("Backend.Type", typed.value, "changed", `vxlan: ${replacement.reason}`);
    } else {
      const subject = this.#subject("Backend.Type", typed.value);
      const instead = "vxlan is used, unencrypted and encapsulated; open UDP port 8472 between nodes";
      if (this.#ledger.refuse(subject, replacement.reason, instead)) this.asWritten = false;
      else this.open = true;
    }
    return this.#options("vxlan", type, value.members);
  }

  #allowExtension(type: JsonNode): boolean {
    const reason = "the commands of net-conf.json run as root on every node; Twill does that only when a flag says so";
    const subject = this.#subject("Backend.Type", type);
    if (!this.#ledger.refuse(subject, reason, "--allow-extension-commands is set")) return false;
    this.#draft.flags.set("allow-extension-commands", "true");
    return true;
  }

  /** @param was the type that the options were written for. */
  #options(type: string, was: string, members: readonly JsonMember[]): Record<string, unknown> {
    const fields = Object.keys(backendFields[type as keyof typeof backendFields]);
    const written: Record<string, unknown> = { Type: type };
    const rest = members.filter(({ key }) => key.toLowerCase() !== "type");
    // Of a replaced backend's options only this means the same here; a port or an MTU does not.
    const foreign = type === was ? [] : (laterBackends[was] ?? []).filter((name) => name !== "DirectRouting");
    const usable = type === was ? fields : fields.filter((name) => name === "DirectRouting");
    for (const member of rest) {
      if (!foreign.some((name) => name.toLowerCase() === member.key.toLowerCase())) continue;
      this.#change(
        `Backend.${member.key}`,
        member.value,
        "left-out",
        `an option of ${was}, which is replaced by ${type}`,
      );
    }
    const others = rest.filter(({ key }) => !foreign.some((name) => name.toLowerCase() === key.toLowerCase()));
    for (const [name, { key, value }] of this.#known(usable, others, "Backend.")) {
      written[name] = plainValue(value);
      const reason =
        name === "MacPrefix" ? "kept; of Windows nodes, so without effect" : `Backend.${name} of net-conf.json`;
      this.#note(`Backend.${key}`, value, "carried", reason);
    }
    return written;
  }

  #subject(name: string, value: JsonNode) {
    return { object: this.#object, name, value: plainValue(value) };
  }

  #note(name: string, value: JsonNode, outcome: Exclude<Outcome, "refused">, reason: string): void {
    this.#ledger.note(this.#subject(name, value), outcome, reason);
  }

  /** As #note, and the text cannot stay as it was written. */
  #change(name: string, value: JsonNode, outcome: Exclude<Outcome, "refused">, reason: string): void {
    this.asWritten = false;
    this.#note(name, value, outcome, reason);
  }
}

function tryPrefix(text: string): string | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return undefined;
  }
}
