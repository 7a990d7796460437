import type { NetworkPolicyPort } from "../../oracle/objects.ts";
import type { ConformanceCase, MatrixCell } from "../case.ts";
import { oneStep } from "../case.ts";
import { networkPolicy, podIs } from "../standard.ts";

const intoX = (
  name: string,
  ports: readonly NetworkPolicyPort[],
  allows: (cell: MatrixCell) => boolean,
): ConformanceCase =>
  oneStep(
    name,
    [networkPolicy("x", { podSelector: {}, ingress: [{ ports }] })],
    (cell) => cell.destination.namespace !== "x" || allows(cell),
  );

const outOfX = (
  name: string,
  ports: readonly NetworkPolicyPort[],
  allows: (cell: MatrixCell) => boolean,
): ConformanceCase =>
  oneStep(
    name,
    [networkPolicy("x", { podSelector: {}, policyTypes: ["Egress"], egress: [{ ports }] })],
    (cell) => cell.source.namespace !== "x" || allows(cell),
  );

/** "web" is 80 by TCP on pods a, 81 by TCP on pods b, 80 by UDP on pods c (standard.ts). */
const isWebOverTcp = ({ destination, protocol, port }: MatrixCell): boolean =>
  protocol === "TCP" && ((destination.pod === "a" && port === 80) || (destination.pod === "b" && port === 81));

/** Ports by number, range and name, and the three protocols. */
export const portCases: readonly ConformanceCase[] = [
  intoX(
    "a port without a protocol is TCP's",
    [{ port: 81 }],
    ({ protocol, port }) => protocol === "TCP" && port === 81,
  ),
  intoX("a protocol without a port is all its ports", [{ protocol: "UDP" }], ({ protocol }) => protocol === "UDP"),
  intoX(
    "a policy for UDP only denies TCP and SCTP",
    [{ protocol: "UDP", port: 80 }],
    ({ protocol, port }) => protocol === "UDP" && port === 80,
  ),
  intoX(
    "SCTP is not TCP",
    [{ protocol: "SCTP", port: 80 }],
    ({ protocol, port }) => protocol === "SCTP" && port === 80,
  ),
  intoX("an item with nothing in it is all of TCP", [{}], ({ protocol }) => protocol === "TCP"),
  intoX(
    "several ports: any of them",
    [{ port: 80 }, { protocol: "SCTP", port: 81 }],
    ({ protocol, port }) => (protocol === "TCP" && port === 80) || (protocol === "SCTP" && port === 81),
  ),
  intoX("an empty list of ports is all of them", [], () => true),
  intoX("endPort: both ends belong to the range", [{ port: 80, endPort: 81 }], ({ protocol }) => protocol === "TCP"),
  intoX(
    "endPort: a range that begins behind 80",
    [{ protocol: "UDP", port: 81, endPort: 65535 }],
    ({ protocol, port }) => protocol === "UDP" && port === 81,
  ),
  intoX(
    "endPort: a range that ends before 81",
    [{ protocol: "SCTP", port: 1, endPort: 80 }],
    ({ protocol, port }) => protocol === "SCTP" && port === 80,
  ),
  intoX(
    "endPort: a range of one",
    [{ port: 81, endPort: 81 }],
    ({ protocol, port }) => protocol === "TCP" && port === 81,
  ),
  intoX(
    "a range and a port within it are not in each other's way",
    [{ port: 1, endPort: 80 }, { port: 80 }, { port: 80, endPort: 80 }],
    ({ protocol, port }) => protocol === "TCP" && port === 80,
  ),
  intoX("a port by name", [{ port: "serve-81-tcp" }], ({ protocol, port }) => protocol === "TCP" && port === 81),
  intoX(
    "a port by name, of UDP",
    [{ protocol: "UDP", port: "serve-80-udp" }],
    ({ protocol, port }) => protocol === "UDP" && port === 80,
  ),
  intoX(
    "a name whose port is of another protocol matches nothing",
    [{ protocol: "TCP", port: "serve-80-udp" }],
    () => false,
  ),
  intoX("a name that no pod has matches nothing", [{ port: "nobody" }], () => false),
  intoX("one name, a number that differs from pod to pod", [{ port: "web" }], isWebOverTcp),
  intoX(
    "one name, a protocol that differs from pod to pod",
    [{ protocol: "UDP", port: "web" }],
    ({ destination, protocol, port }) => destination.pod === "c" && protocol === "UDP" && port === 80,
  ),
  outOfX("egress to a port", [{ port: 80 }], ({ protocol, port }) => protocol === "TCP" && port === 80),
  outOfX("egress to a range", [{ protocol: "SCTP", port: 80, endPort: 90 }], ({ protocol }) => protocol === "SCTP"),
  outOfX("egress to a name: the destination's own port of that name", [{ port: "web" }], isWebOverTcp),
  oneStep(
    "peers and ports of one rule must both match",
    [
      networkPolicy("x", {
        podSelector: {},
        ingress: [
          { from: [{ podSelector: podIs("a") }], ports: [{ port: 80 }] },
          { from: [{ podSelector: podIs("b") }], ports: [{ port: 81 }] },
        ],
      }),
    ],
    ({ from, destination, protocol, port }) =>
      destination.namespace !== "x" ||
      (protocol === "TCP" && ((from === "x/a" && port === 80) || (from === "x/b" && port === 81))),
  ),
];
