import { type Address, bytesOf, type Family, familyOf } from "../base/address.ts";
import { type BpfAlternative, type BpfProgram, type BpfTest, composeFilter } from "../wire/bpf.ts";
import { etherTypes, protocols } from "../wire/packet.ts";

/** Whose packets are looked for, as they are and inside VXLAN. */
export interface PacketQuery {
  /** One: all that it sends and gets. Two: what they send each other, and ICMP errors to the first. */
  readonly hosts: readonly [Address] | readonly [Address, Address];
  /** UDP ports of tunnels. */
  readonly vxlanPorts: readonly number[];
}

/** What goes before the packet's own Ethernet header. */
interface Place {
  readonly shift: number;
  readonly tests: readonly BpfTest[];
}

const ethernet = 14;
/** UDP, VXLAN. */
const between = 16;

/** @param further tcpdump's program, which must take the packet too. @throws TwillError `invalid` when that is too long. */
export function packetFilter({ hosts, vxlanPorts }: PacketQuery, further?: BpfProgram): BpfProgram {
  const family = familyOf(hosts[0]);
  const outers: readonly Place[] = [
    { shift: 0, tests: [] },
    ...vxlanPorts.flatMap((port) => [outer4(port), outer6(port)]),
  ];
  return composeFilter(
    outers.flatMap(({ shift, tests }): BpfAlternative[] =>
      ways(hosts, family).map((inner) => ({
        shift,
        tests: [...tests, ...etherType(family, shift), ...inner.map((test) => ({ ...test, at: test.at + shift }))],
      })),
    ),
    further,
  );
}

/** Which addresses stand where; each a way to pass. Positions are those of a plain frame. */
function ways(hosts: PacketQuery["hosts"], family: Family): BpfTest[][] {
  const [one, other] = hosts;
  if (other === undefined) return [addressIs(one, "source"), addressIs(one, "destination")];
  return [
    [...addressIs(one, "source"), ...addressIs(other, "destination")],
    [...addressIs(other, "source"), ...addressIs(one, "destination")],
    ...icmpErrors(family).map((error) => [...addressIs(one, "destination"), ...error]),
  ];
}

/** Why a packet did not arrive, as a router or the other end says it: RFC 792, RFC 4443. IP options are not looked for. */
const icmpErrors = (family: Family): BpfTest[][] =>
  family === 4
    ? [3, 11].map((type) => [
        { at: ethernet + 9, size: 1, value: protocols.icmp },
        { at: ethernet + 20, size: 1, value: type },
      ])
    : [
        [
          { at: ethernet + 6, size: 1, value: protocols.icmpv6 },
          // Error messages have the highest bit clear.
          { at: ethernet + 40, size: 1, value: 0, mask: 0x80 },
        ],
      ];

const etherType = (family: Family, shift: number): BpfTest[] => [
  { at: shift + 12, size: 2, value: family === 4 ? etherTypes.ipv4 : etherTypes.ipv6 },
];

function addressIs(address: Address, end: "source" | "destination"): BpfTest[] {
  const bytes = bytesOf(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = ethernet + (bytes.length === 4 ? 12 : 8) + (end === "source" ? 0 : bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, word) => ({
    at: start + word * 4,
    size: 4 as const,
    value: view.getUint32(word * 4, false),
  }));
}

/** Without IP options, as tunnels send it: so everything inside stands at a fixed place. */
const outer4 = (port: number): Place => ({
  shift: ethernet + 20 + between,
  tests: [
    { at: 12, size: 2, value: etherTypes.ipv4 },
    { at: ethernet, size: 1, value: 0x45 },
    { at: ethernet + 9, size: 1, value: protocols.udp },
    { at: ethernet + 22, size: 2, value: port },
  ],
});

const outer6 = (port: number): Place => ({
  shift: ethernet + 40 + between,
  tests: [
    { at: 12, size: 2, value: etherTypes.ipv6 },
    { at: ethernet + 6, size: 1, value: protocols.udp },
    { at: ethernet + 42, size: 2, value: port },
  ],
});
