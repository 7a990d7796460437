/**
 * The one map of where Twill hangs in the kernel's packet path, and of the bits that it uses on packets and connections.
 * Policy, Services and masquerade take their numbers from here; docs/design/hooks.md explains them, and a test holds the
 * two together.
 */

/** Of nf_tables base chains; lower runs first (linux/netfilter_ipv4.h: NF_IP_PRI_*; nft's names behind them). */
export const priorities = {
  /** prerouting, filter type: pods' packets with addresses that are not theirs. raw − 20: before anything is made of them. */
  spoofed: -320,
  /** prerouting and output, filter type: connections that shall not be tracked. raw − 10. */
  untracked: -310,
  /** prerouting and output, nat type: Services choose an endpoint. dstnat − 5: before kube-proxy, whose choice then never comes. */
  services: -105,
  services_node: -105,
  /** forward and input, filter type: policy, which sees addresses behind DNAT and before SNAT. filter − 5. */
  policy: -5,
  /** input, the same for what pods send to their node. */
  policy_node: -5,
  /** forward, filter type: traffic of the cluster networks is accepted, as Flannel does. filter. */
  forward: 0,
  /** input, nat type: which endpoint of this machine itself a client of a Service was given. srcnat − 5. */
  service_affinity: 95,
  /** postrouting, nat type: the same elsewhere; Services masquerade what must come back through this node. srcnat − 5. */
  service_masquerade: 95,
  /** postrouting, nat type: pods leave the cluster network with the node's address. srcnat. */
  outgoing: 100,
} as const;

/** Bits of the packet mark (skb mark). */
export const marks = {
  /** Set by kube-proxy on what it will masquerade itself, one chain further: we leave it alone. */
  kubeProxyMasquerade: 0x4000,
  /** Bits that no mark of ours may touch: 0x4000 above, 0x8000 with which kubelet drops, 0x2000 beside them. */
  avoided: [0x2000, 0x4000, 0x8000],
  /** Ours, for Services. */
  twill: 0x3000_0000,
  /** One of them: a first packet to a Service that is not a pod's, so the answer has to come back through this node. */
  service: 0x1000_0000,
  /**
   * What a denied packet bears when it is reported to `logGroup`: its decision's number (31 bits), 0 when it belongs to no
   * connection that could bear one, or one of these. Then it is dropped, so this is nobody's mark.
   */
  spoofed: 0x8000_0001,
  /** From or to a pod's interface, with an address that policy does not know. */
  unknownPod: 0x8000_0002,
  /** No transport header, or (never) no decision. */
  unreadable: 0x8000_0003,
  /** Of a connection whose label says cut. */
  cut: 0x8000_0004,
  /** No rule sets it any more: what meets a change of policy is judged once more. An agent of before may still report it. */
  changed: 0x8000_0005,
} as const;

/** 128 conntrack label bits, as 32-bit words in host order: what conntrack's events tell of a connection's decisions. */
export const labels = {
  /** Word 0: number of the decision that the source's egress policy took. */
  egressDecision: 0,
  /** Word 1: number of the decision that the destination's ingress policy took. */
  ingressDecision: 1,
  /** Word 2 but for its lowest bit: the pool of a Service that the connection was given an endpoint of. 0: none. */
  pool: 2,
  /** Set by the agent, with established connections rechecked: no decision would let it begin any more. Bit 64 of the label. */
  cut: { word: 2, bit: 1 },
  /** Word 3: the epoch of policy's tables in which the two were taken (docs/design/policy.md). Of no use to anybody else. */
  epoch: 3,
} as const;

/** nflog: where denied packets are reported, and how many bytes of each: IPv6 with a few extension headers and TCP's. */
export const logGroup = { number: 84, bytes: 128 } as const;
