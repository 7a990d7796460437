import { addressAt, isEverything, lengthOf, overlaps, prefixFamily, prefixOf } from "../../base/prefix.ts";
import type { Link } from "../../objects/link.ts";
import type { NodeFacts } from "../facts.ts";
import type { Finding } from "../finding.ts";
import { linkNamed, linkOf } from "../kernel-view.ts";
import { podId } from "../node-view.ts";
import { vxlanOverhead } from "../walk-tunnel.ts";

/** Tunnel devices: there, up, of the right kind and Ethernet address. */
export function checkTunnels({ node, view, tunnels }: NodeFacts): Finding[] {
  return tunnels.flatMap((wanted): Finding[] => {
    const link = linkNamed(view.kernel, wanted.name);
    const wrong = wrongTunnel(link, wanted.kind);
    const head = { node, severity: "error", subject: wanted.name, remedy: agentHeals, fixable: true } as const;
    if (wrong !== undefined) {
      return [
        {
          ...head,
          id: "tunnel",
          title: `the tunnel device ${wanted.name} ${wrong}`,
          explanation: "pods of this node and of nodes behind the tunnel do not reach each other",
          evidence: [link === undefined ? `no device ${wanted.name}` : describeLink(link)],
        },
      ];
    }
    if (link?.mac === wanted.mac) return [];
    return [
      {
        ...head,
        id: "vtep-mac",
        title: `the tunnel device ${wanted.name} has another Ethernet address than the other nodes know`,
        explanation:
          "they write frames to the address in this node's lease, and the device throws away what is not its own",
        evidence: [`${wanted.name} has ${link?.mac}; the lease says ${wanted.mac}`],
      },
    ];
  });
}

function wrongTunnel(link: Link | undefined, kind: NodeFacts["tunnels"][number]["kind"]): string | undefined {
  if (link === undefined) return "is missing";
  if (link.kind.type !== "vxlan") return "is not a VXLAN device";
  if (link.kind.vni !== kind.vni || link.kind.port !== kind.port)
    return `has VNI ${link.kind.vni} and port ${link.kind.port}, not ${kind.vni} and ${kind.port}`;
  if (link.kind.local !== kind.local) return `sends from ${link.kind.local ?? "any address"}, not ${kind.local}`;
  return link.up ? undefined : "is down";
}

const describeLink = ({ name, up, mtu, kind }: Link): string =>
  `${name}: ${up ? "up" : "down"}, MTU ${mtu}, ${kind.type === "vxlan" ? `VNI ${kind.vni}, port ${kind.port}, local ${kind.local}` : kind.type}`;

/** Sizes that cannot fit, as far as this node's devices tell. */
export function checkMtu({ node, view, tunnels, podMtu }: NodeFacts): Finding[] {
  const { kernel } = view;
  const head = { id: "mtu", node, severity: "error" } as const;
  const findings: Finding[] = [];
  for (const { name, kind } of tunnels) {
    const [link, underlay] = [linkNamed(kernel, name), linkNamed(kernel, kind.underlay)];
    if (link === undefined || underlay === undefined) continue;
    const overhead = vxlanOverhead(kind.local);
    if (link.mtu + overhead <= underlay.mtu) continue;
    findings.push({
      ...head,
      subject: name,
      title: `packets of the tunnel ${name} do not fit ${underlay.name}`,
      explanation: "small packets pass and large ones are lost: connections open, then hang",
      evidence: [`${name} MTU ${link.mtu} + ${overhead} bytes of headers > ${underlay.name} MTU ${underlay.mtu}`],
      remedy: `ip link set ${underlay.name} mtu ${link.mtu + overhead}, or set Backend.MTU in the configuration (twill config)`,
    });
  }
  // Else every pod would be told of as well, for one and the same cause.
  if (podMtu === undefined || findings.length > 0) return findings;
  for (const pod of view.pods) {
    const mtu = sendingMtu(pod);
    if (mtu === undefined || mtu <= podMtu) continue;
    findings.push({
      ...head,
      subject: podId(pod),
      title: `pod ${podId(pod)} sends larger packets than the network carries`,
      explanation: "small packets pass and large ones are lost: connections open, then hang",
      evidence: [`${pod.ifname} in the pod: MTU ${mtu}; the network carries ${podMtu}`],
      remedy: "delete the pod, so that it is made anew; take an MTU out of its network's CNI configuration",
    });
  }
  return findings;
}

/** Of what the pod sends by default: its device may take more than its routes send. */
function sendingMtu(pod: NodeFacts["view"]["pods"][number]): number | undefined {
  const link = pod.kernel === undefined ? undefined : linkNamed(pod.kernel, pod.ifname);
  const route = pod.kernel?.routes.find(
    ({ destination, device }) => isEverything(destination) && device === link?.index,
  );
  return link === undefined || route === undefined ? undefined : Math.min(link.mtu, route.mtu ?? link.mtu);
}

/** The node's ends of its pods. */
export function checkPodDevices({ node, view }: NodeFacts): Finding[] {
  return view.pods.flatMap((pod): Finding[] => {
    if (pod.hostDevice === undefined) return [];
    const link = linkNamed(view.kernel, pod.hostDevice);
    const wrong = link === undefined ? "is missing" : link.up ? undefined : "is down";
    if (wrong === undefined) return [];
    return [
      {
        id: "pod-device",
        severity: "error",
        node,
        subject: podId(pod),
        title: `the node's end of pod ${podId(pod)} ${wrong}`,
        explanation: "the pod has no way out and none in",
        evidence: [`${pod.hostDevice}: ${wrong}`],
        remedy:
          link === undefined
            ? "delete the pod: its controller makes a new one"
            : `ip link set ${pod.hostDevice} up; a running agent does it by itself`,
      },
    ];
  });
}

/** Attached networks of the machine that the pods' network overlaps. */
export function checkOverlap({ node, view, agent, tunnels }: NodeFacts): Finding[] {
  const { kernel } = view;
  const ours = new Set([
    ...tunnels.map(({ name }) => name),
    ...view.pods.flatMap(({ hostDevice }) => hostDevice ?? []),
  ]);
  return kernel.addresses.flatMap(({ device, address, length, scope }): Finding[] => {
    const link = linkOf(kernel, device);
    const attached = prefixOf(address, length);
    if (link === undefined || link.loopback || ours.has(link.name) || link.alias === "twill" || scope !== "universe")
      return [];
    // A single address hides one pod at most; that is looked for by its address.
    if (lengthOf(attached) === (prefixFamily(attached) === 4 ? 32 : 128)) return [];
    const network = agent.networks.find((one) => overlaps(one, attached));
    if (network === undefined) return [];
    const hidden = [...agent.leases].filter(([, { subnets }]) => subnets.some((subnet) => overlaps(subnet, attached)));
    return [
      {
        peers: hidden.map(([name]) => name),
        id: "network-overlap",
        severity: "error",
        node,
        subject: `${link.name} ${attached}`,
        title: `${link.name} is attached to ${attached}, which overlaps the pods' network ${network}`,
        explanation:
          "packets to pods with these addresses go to that link, and packets to that link's machines go to pods",
        evidence: [`${link.name} has ${address}/${length}; e.g. ${addressAt(attached, 1n)} is on both sides`],
        remedy: "give that link, or the pods, another network (Network in the configuration)",
      },
    ];
  });
}

export const agentHeals = "start the agent of this node: it puts this right by itself; twill doctor --fix does it once";
