/** How policy is put into the kernel on one node: settings of the agent, and what pod network is below. */
export interface PolicyOptions {
  /**
   * What becomes of connections that a change of policy would no longer let begin. "keep": they live on. "recheck": the agent marks those
   * (`labels.cut`), and what they send is denied.
   */
  readonly established: "keep" | "recheck";
  /** To be silent, or to say so: TCP reset, else ICMP "administratively prohibited". */
  readonly deny: "drop" | "reject";
  /** Reports of denied packets, to nflog group `denyLog.group`; absent: none. */
  readonly log?: { readonly perSecond: number; readonly burst: number };
  /**
   * How our own pods' interfaces on this node begin ("twl"), where each belongs to one pod and every address of a pod is routed to it.
   * Then a pod sends from its own addresses only, and one whose address policy does not know yet is cut off.
   * Absent: pods are known by their addresses alone (bridges, other programs' pod networks).
   */
  readonly podInterfaces?: string;
  /**
   * The kernel checks the IPv4 sources of all pods' interfaces itself (rp_filter is 1 on each of them and not 2 for `all`), at no cost. Absent:
   * the program does it, as it does for IPv6; 0.2 µs a packet.
   */
  readonly reversePathFiltered?: boolean;
  /** Pods of `podInterfaces` whose addresses no row names are let through all the same. */
  readonly unknownPodsAllowed?: boolean;
}
