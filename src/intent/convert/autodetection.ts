import { tryAddress } from "../../base/address.ts";
import { parsePrefix } from "../../base/prefix.ts";
import type { Flags } from "./draft.ts";
import type { Ledger, Subject } from "./ledger.ts";
import { expressionProblem } from "./regular-expression.ts";

const instead = "the interface of the default route is used";

/** Calico's ways to find a node's address (IP_AUTODETECTION_METHOD), as flags that choose the underlay interface. */
export function carryAutodetection(subject: Subject, flags: Flags, ledger: Ledger) {
  const method = String(subject.value).trim();
  const equals = method.indexOf("=");
  const name = equals < 0 ? method : method.slice(0, equals);
  const argument = equals < 0 ? "" : method.slice(equals + 1);
  const parts = argument.split(",").map((part) => part.trim());
  switch (name) {
    case "":
    case "first-found":
      return ledger.note(
        subject,
        "changed",
        "Twill takes the interface of the default route; name another with --iface or --iface-regex",
      );
    case "kubernetes-internal-ip":
      return ledger.note(
        subject,
        "changed",
        "Twill takes the interface of the default route; where the node's InternalIP is on another, name that with --iface-regex",
      );
    case "can-reach":
      if (tryAddress(argument) === undefined) {
        return void ledger.refuse(
          subject,
          "--iface-can-reach takes an address, no name: which interface it is must not depend on DNS",
          instead,
        );
      }
      flags.set("iface-can-reach", argument);
      return ledger.note(subject, "carried", "--iface-can-reach");
    case "interface": {
      const problem = parts.map(expressionProblem).find((found) => found !== undefined);
      if (problem !== undefined) return void ledger.refuse(subject, `not for --iface-regex: ${problem}`, instead);
      for (const part of parts) flags.add("iface-regex", part);
      return ledger.note(subject, "carried", "--iface-regex, in the same order");
    }
    case "cidr": {
      const expressions = parts.map(expressionOf);
      if (expressions.some((expression) => expression === undefined)) {
        return void ledger.refuse(subject, "only IPv4 networks can be said as --iface-regex", instead);
      }
      for (const expression of expressions) flags.add("iface-regex", expression ?? "");
      return ledger.note(subject, "carried", "--iface-regex over addresses, matching exactly these networks");
    }
    case "skip-interface":
      return void ledger.refuse(
        subject,
        "Twill has no flag that leaves interfaces out; name the right ones with --iface-regex",
        instead,
      );
    default:
      return void ledger.refuse(subject, "not a method that Calico documents", instead);
  }
}

/** 172.16.0.0/12 → ^172\.(16|17|…|31)\. : the octet that the mask cuts through is listed. */
function expressionOf(network: string): string | undefined {
  let prefix: string;
  try {
    prefix = parsePrefix(network);
  } catch {
    return undefined;
  }
  if (prefix.includes(":")) return undefined;
  const [address = "", mask = ""] = prefix.split("/");
  const octets = address.split(".").map(Number);
  const whole = Math.floor(Number(mask) / 8);
  const bits = Number(mask) % 8;
  const fixed = octets.slice(0, whole).map((octet) => `${octet}\\.`);
  const first = octets[whole] ?? 0;
  const cut = bits === 0 ? [] : Array.from({ length: 1 << (8 - bits) }, (_, index) => first + index);
  if (whole === 4) return `^${octets.join("\\.")}$`;
  const listed = cut.length === 0 ? "" : `(${cut.join("|")})${whole === 3 ? "$" : "\\."}`;
  return `^${fixed.join("")}${listed}`;
}
