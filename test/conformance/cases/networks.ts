import { type Address, parseAddress } from "../../../src/base/address.ts";
import type { KubernetesObject } from "../../oracle/objects.ts";
import type { ConformanceCase, Step } from "../case.ts";
import { egressTo, ingressFrom, networkPolicy } from "../standard.ts";

/** A pod's addresses, known only once it runs. */
export type AddressesOf = (pod: string) => readonly Address[];

const v4 = (addresses: readonly Address[]): Address =>
  addresses.find((address) => !address.includes(":")) ?? parseAddress("192.0.2.1");
const v6 = (addresses: readonly Address[]): Address =>
  addresses.find((address) => address.includes(":")) ?? parseAddress("2001:db8::1");

/** ipBlock, by the addresses of pods. */
export function networkCases(of: AddressesOf): readonly ConformanceCase[] {
  const one = (name: string, apply: readonly KubernetesObject[], allows: Step["allows"]): ConformanceCase => ({
    name,
    steps: [{ apply, allows }],
  });
  const [ya4, ya6] = [`${v4(of("y/a"))}/32`, `${v6(of("y/a"))}/128`];
  return [
    one(
      "one address, of one family",
      [ingressFrom("x", { ipBlock: { cidr: ya4 } })],
      ({ from, destination, family }) => destination.namespace !== "x" || (from === "y/a" && family === 4),
    ),
    one(
      "one address of each family",
      [ingressFrom("x", { ipBlock: { cidr: ya4 } }, { ipBlock: { cidr: ya6 } })],
      ({ from, destination }) => destination.namespace !== "x" || from === "y/a",
    ),
    one(
      "all of IPv4: pods too, and nothing of IPv6",
      [ingressFrom("x", { ipBlock: { cidr: "0.0.0.0/0" } })],
      ({ destination, family }) => destination.namespace !== "x" || family === 4,
    ),
    one(
      "all of IPv6",
      [ingressFrom("x", { ipBlock: { cidr: "::/0" } })],
      ({ destination, family }) => destination.namespace !== "x" || family === 6,
    ),
    one(
      "except leaves out",
      [
        ingressFrom(
          "x",
          { ipBlock: { cidr: "0.0.0.0/0", except: [ya4] } },
          { ipBlock: { cidr: "::/0", except: [ya6] } },
        ),
      ],
      ({ from, destination }) => destination.namespace !== "x" || from !== "y/a",
    ),
    one(
      "what one peer leaves out another may let in",
      [ingressFrom("x", { ipBlock: { cidr: "0.0.0.0/0", except: [ya4] } }, { ipBlock: { cidr: ya4 } })],
      ({ destination, family }) => destination.namespace !== "x" || family === 4,
    ),
    one(
      "what one peer leaves out a selector may let in",
      [ingressFrom("x", { ipBlock: { cidr: "0.0.0.0/0", except: [ya4] } }, { namespaceSelector: {} })],
      () => true,
    ),
    one(
      "egress to one address",
      [egressTo("x", { ipBlock: { cidr: ya4 } })],
      ({ source, to, family }) => source.namespace !== "x" || (to === "y/a" && family === 4),
    ),
    one(
      "egress to everything except",
      [egressTo("x", { ipBlock: { cidr: "0.0.0.0/0", except: [ya4] } })],
      ({ source, to, family }) => source.namespace !== "x" || (to !== "y/a" && family === 4),
    ),
    one(
      "two networks, one in the other, with different ports",
      [
        networkPolicy("x", {
          podSelector: {},
          ingress: [
            { from: [{ ipBlock: { cidr: "0.0.0.0/0" } }], ports: [{ port: 80 }] },
            { from: [{ ipBlock: { cidr: ya4 } }], ports: [{ port: 81 }] },
          ],
        }),
      ],
      ({ from, destination, family, protocol, port }) =>
        destination.namespace !== "x" || (family === 4 && protocol === "TCP" && (port === 80 || from === "y/a")),
    ),
  ];
}
