import { familyOf, tryAddress } from "../../src/base/address.ts";
import { TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import type { PodPlace } from "../../src/insight/node-view.ts";
import { podId } from "../../src/insight/node-view.ts";
import { type TraceTarget, trace } from "../../src/insight/trace.ts";
import { defaultRunDir, defaultStateDir } from "../defaults.ts";
import { boolean, choice, number, text, withLetter } from "../flags.ts";
import { command } from "./command.ts";
import { commonAddress, findOwnPod, findPod } from "./look-asker.ts";
import { openNode } from "./open-node.ts";
import { paint } from "./status-text.ts";
import { traceText } from "./trace-text.ts";

export const traceCommand = command({
  name: "trace",
  usage: "POD POD|IP[:PORT]",
  summary: "A packet's way from a pod of this node: as the kernels' state says, and as a real probe shows",
  help: `
The first pod is one of this node's: by name, namespace/name or address. With a port the probe opens a TCP connection, else it
is an ICMP echo. It is watched at every device on the way, on both nodes, and nothing is changed. The exit status is 0 when the
probe is answered (or refused by the other end: the network is fine), else 1. With the agent of this node dead, the other nodes
cannot be looked at.

  twill trace web-0 10.244.3.7
  twill trace default/web-0 db/postgres-0:5432
  twill trace web-0 1.1.1.1 --size 1450
  twill trace web-0 postgres-0 -o json`,
  flags: {
    runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
    stateDir: text(defaultStateDir, "what the agent keeps: read when it does not answer", "DIR"),
    udp: boolean(false, "with a port: a UDP datagram instead of a TCP connection"),
    size: number(
      0,
      "bytes of the probe with its IP header, not to be fragmented (ICMP and UDP); 0: a small one",
      [0, 65_535],
    ),
    timeout: number(1, "seconds to wait for an answer", [1, 10]),
    all: boolean(false, "print the answer's way hop by hop, too"),
    output: withLetter("o", choice("text", ["text", "json"], "how it is printed")),
  },
  run: async ({ rest, flags }, output) => {
    const [podText, targetText, ...more] = rest;
    if (podText === undefined || targetText === undefined || more.length > 0) {
      throw new TwillError("invalid", "trace needs a pod and where to", { remedy: "twill trace POD POD|IP[:PORT]" });
    }
    const { asker } = openNode(flags);
    const from = await findOwnPod(asker, podText);
    const { host, port } = splitPort(targetText);
    const result = await trace(asker, {
      from,
      to: await targetOf(asker, from, host),
      protocol: port === undefined ? "icmp" : flags.udp ? "udp" : "tcp",
      timeout: flags.timeout * 1000,
      ...(port === undefined ? {} : { port }),
      ...(flags.size === 0 ? {} : { size: flags.size }),
    });
    if (flags.output === "json") output.out(`${JSON.stringify(result, null, 2)}\n`);
    else output.out(traceText(result, paint(output.colour), flags.all));
    return result.ok ? 0 : 1;
  },
});

/** "10.1.1.1:80", "web:80", "[fd00::1]:80"; an IPv6 address without brackets has no port. @throws TwillError `invalid`. */
export function splitPort(target: string): { readonly host: string; readonly port?: number } {
  const bracketed = /^\[(.+)\](?::(.+))?$/.exec(target);
  const plain = tryAddress(target) === undefined ? /^([^:]+)(?::(.+))?$/.exec(target) : undefined;
  const [, host = target, digits] = bracketed ?? plain ?? [];
  if (digits === undefined) return { host };
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0;
  if (port >= 1 && port <= 65_535) return { host, port };
  throw new TwillError("invalid", `"${digits}" is not a port`, { remedy: "use 1 to 65535" });
}

async function targetOf(asker: Asker, from: PodPlace, text: string): Promise<TraceTarget> {
  const pod = await findPod(asker, text);
  const address = tryAddress(text);
  if (pod === undefined && address === undefined) {
    throw new TwillError("not-found", `there is no pod ${text} on any node that answers`, {
      remedy: "twill get endpoints, on its node, lists pods; or give its address",
    });
  }
  const to = pod === undefined ? undefined : (address ?? commonAddress(from, pod.place));
  const target = to ?? address;
  if (target === undefined || !from.addresses.some((own) => familyOf(own) === familyOf(target))) {
    throw new TwillError("invalid", `${podId(from)} has no IPv${target === undefined ? 4 : familyOf(target)} address`, {
      remedy: `its addresses are ${from.addresses.join(", ")}`,
    });
  }
  return { address: target, ...(pod === undefined ? {} : { pod: { node: pod.node, id: podId(pod.place) } }) };
}
