import { type Address, familyOf } from "../../src/base/address.ts";
import { describeError, TwillError } from "../../src/base/errors.ts";
import type { Asker } from "../../src/insight/asker.ts";
import {
  type CapturePlace,
  inOrder,
  type PlacedPacket,
  passages,
  placed,
  placeName,
} from "../../src/insight/capture.ts";
import { type PodPlace, podId } from "../../src/insight/node-view.ts";
import type { WatchRequest } from "../../src/insight/questions.ts";
import type { WatchResult } from "../../src/insight/watch.ts";
import type { BpfProgram } from "../../src/wire/bpf.ts";
import { encodePcapng } from "../../src/wire/pcapng.ts";
import { defaultRunDir } from "../defaults.ts";
import { boolean, number, optional, text, withLetter } from "../flags.ts";
import { version } from "../version.ts";
import { captureText } from "./capture-text.ts";
import { command } from "./command.ts";
import { compileFilter } from "./filter-program.ts";
import { agentAsker, findOwnPod, findPod } from "./look-asker.ts";
import { writeResult } from "./result-file.ts";
import { paint } from "./status-text.ts";

export const capture = command({
  name: "capture",
  usage: "POD [--to POD] [-- FILTER]",
  summary: "Packets of a pod of this node at every device on their way, on both nodes, in one pcapng and as a story",
  help: `
The devices: the pod's own, the node's end of its link, the tunnels, the underlay; with --to those of the other pod's node, too.
Encapsulated packets are found by what is inside. FILTER is tcpdump's language and looks at the pods' packets, inside the tunnel
as well; it is compiled by the tcpdump of this node. It ends after --seconds, at --megabytes on a node, or with Ctrl-C, and
nothing is changed. An agent lets others capture only what goes to or comes from their own pods.

  twill capture web-0
  twill capture web-0 --to db/postgres-0 --seconds 30 -w web.pcapng
  twill capture web-0 --to 10.244.3.7 -- tcp port 5432`,
  flags: {
    runDir: text(defaultRunDir, "where the agent's socket is", "DIR"),
    to: optional("the other pod, by name or address: only what the two send each other, on both nodes", "POD"),
    seconds: number(10, "how long", [1, 280]),
    megabytes: number(4, "at most so many from each node", [1, 8]),
    snapLength: number(256, "bytes kept of each packet", [64, 65_535]),
    write: withLetter(
      "w",
      optional("write a pcapng with the devices' names, for Wireshark and tcpdump; - for standard output", "FILE"),
    ),
    quiet: boolean(false, "print no story"),
  },
  run: async ({ flags, rest, after }, output) => {
    const [podText, ...more] = rest;
    if (podText === undefined || more.length > 0) {
      throw new TwillError("invalid", "capture needs one pod", { remedy: "twill capture POD [--to POD] [-- FILTER]" });
    }
    const program = after === undefined || after.length === 0 ? undefined : compileFilter(after.join(" "));
    const asker = agentAsker(flags.runDir);
    const pod = await findOwnPod(asker, podText);
    const other = flags.to === undefined ? undefined : await findPod(asker, flags.to);
    if (flags.to !== undefined && other === undefined) {
      throw new TwillError("not-found", `there is no pod ${flags.to} on any node that answers`, {
        remedy: "give its address, as twill get endpoints shows it on its node",
      });
    }
    const limits = {
      milliseconds: flags.seconds * 1000,
      bytes: flags.megabytes << 20,
      snapLength: flags.snapLength,
    };
    const sites = await sitesOf(asker, pod, other);
    const captured = await captureAll(asker, sites, hostsOf(pod, other?.place), program, limits, output.error);
    if (flags.write !== undefined) await writeResult(flags.write, fileOf(captured, flags.snapLength));
    if (!flags.quiet && flags.write !== "-")
      output.out(captureText(passages(captured.packets, captured.places), captured.places, paint(output.colour)));
    for (const note of captured.notes) output.error(`${note}\n`);
    if (flags.write !== undefined)
      output.error(`${flags.write}: ${captured.packets.length} packets at ${captured.places.length} devices\n`);
    return 0;
  },
});

/** The devices of one node. */
interface Site {
  readonly node: string;
  readonly places: readonly CapturePlace[];
}

async function sitesOf(
  asker: Asker,
  pod: PodPlace,
  other: { readonly node: string; readonly place: PodPlace } | undefined,
): Promise<Site[]> {
  const groups = new Map<string, PodPlace[]>([[asker.node, [pod]]]);
  if (other !== undefined) groups.set(other.node, [...(groups.get(other.node) ?? []), other.place]);
  const sites: Site[] = [];
  for (const [node, pods] of groups) {
    const { underlay, tunnels } = await asker.ask(node, "devices", {});
    const ports = [...new Set(tunnels.map(({ port }) => port))];
    sites.push({
      node,
      places: [
        ...pods.flatMap((one) => [
          { node, pod: podId(one), device: one.ifname, depth: 0, vxlanPorts: [] },
          ...(one.hostDevice === undefined ? [] : [{ node, device: one.hostDevice, depth: 1, vxlanPorts: [] }]),
        ]),
        ...(node === asker.node && groups.size === 1 && other !== undefined
          ? []
          : [
              ...tunnels.map(({ device }) => ({ node, device, depth: 2, vxlanPorts: [] })),
              ...(underlay === undefined ? [] : [{ node, device: underlay, depth: 3, vxlanPorts: ports }]),
            ]),
      ],
    });
  }
  return sites;
}

/** One watch for each: a filter asks for addresses of one family. */
function hostsOf(pod: PodPlace, other: PodPlace | undefined): WatchRequest["hosts"][] {
  return pod.addresses.flatMap((address): WatchRequest["hosts"][] => {
    if (other === undefined) return [[address]];
    return other.addresses
      .filter((one) => familyOf(one) === familyOf(address))
      .map((one): readonly [Address, Address] => [address, one]);
  });
}

interface Captured {
  readonly places: readonly CapturePlace[];
  readonly packets: readonly PlacedPacket[];
  readonly notes: readonly string[];
}

type Limits = Pick<WatchRequest, "milliseconds" | "bytes" | "snapLength">;

async function captureAll(
  asker: Asker,
  sites: readonly Site[],
  hosts: readonly WatchRequest["hosts"][],
  program: BpfProgram | undefined,
  limits: Limits,
  say: (text: string) => void,
): Promise<Captured> {
  const places = sites.flatMap((site) => site.places);
  const notes: string[] = [];
  const running: { node: string; id: string; first: number; skew: number }[] = [];
  let first = 0;
  for (const { node, places: own } of sites) {
    const skew = node === asker.node ? 0 : await skewOf(asker, node);
    for (const pair of hosts) {
      const vxlanPorts = [...new Set(own.flatMap((place) => place.vxlanPorts))];
      const where = own.map(({ device, pod }) => ({ device, ...(pod === undefined ? {} : { pod }) }));
      try {
        const { id } = await asker.ask(node, "watch", {
          places: where,
          hosts: pair,
          vxlanPorts,
          ...limits,
          ...(program === undefined ? {} : { program }),
        });
        running.push({ node, id, first, skew });
      } catch (error) {
        notes.push(`not captured on ${node}: ${describeError(error)}`);
      }
    }
    first += own.length;
  }
  if (running.length > 0) {
    say(
      `capturing at ${places.length} devices on ${sites.length} node${sites.length === 1 ? "" : "s"} for ${limits.milliseconds / 1000} s; Ctrl-C ends it\n`,
    );
    await untilInterrupted(limits.milliseconds);
  }
  const packets: PlacedPacket[] = [];
  for (const { node, id, first: offset, skew } of running) {
    const result = await asker.ask(node, "watched", { id });
    packets.push(...result.packets.map((packet) => placed(packet, offset + packet.place, skew)));
    notes.push(...shortcomings(node, result, places, offset));
  }
  return { places, notes, packets: inOrder(packets, places) };
}

function shortcomings(
  node: string,
  { missed, ended, failures }: WatchResult,
  places: readonly CapturePlace[],
  offset: number,
): string[] {
  const nameAt = (index: number) => {
    const place = places[offset + index];
    return place === undefined ? node : placeName(place);
  };
  return [
    ...failures.map(({ place, reason }) => `not captured at ${nameAt(place)}: ${reason}`),
    ...(ended === "size" ? [`${node}: ended before its time, at --megabytes`] : []),
    ...(missed > 0 ? [`${node}: ${missed} packets came faster than they could be kept`] : []),
  ];
}

/** Half the time of the asking is the error, so the quickest of a few is taken. */
async function skewOf(asker: Asker, node: string): Promise<number> {
  let best = { took: Number.POSITIVE_INFINITY, skew: 0 };
  for (let attempt = 0; attempt < 5; attempt++) {
    const [asked, began] = [Date.now(), performance.now()];
    const { now } = await asker.ask(node, "devices", {});
    const took = performance.now() - began;
    if (took < best.took) best = { took, skew: now - asked - took / 2 };
  }
  // Two clocks that agree as well as can be measured are taken for one: a correction would only add its error.
  return Math.abs(best.skew) <= best.took + 1 ? 0 : best.skew;
}

async function untilInterrupted(milliseconds: number): Promise<void> {
  const stop = Promise.withResolvers<void>();
  const timer = setTimeout(stop.resolve, milliseconds);
  process.once("SIGINT", stop.resolve);
  await stop.promise;
  clearTimeout(timer);
  process.removeListener("SIGINT", stop.resolve);
}

function fileOf({ places, packets }: Captured, snapLength: number): Uint8Array {
  const interfaces = places.map((place) => ({
    name: placeName(place),
    description:
      place.pod === undefined
        ? `device ${place.device} of node ${place.node}`
        : `device ${place.device} of pod ${place.pod}, on node ${place.node}`,
  }));
  return encodePcapng(
    `twill ${version}`,
    interfaces,
    packets.map(({ place, ...packet }) => ({ interface: place, ...packet })),
    snapLength,
  );
}
