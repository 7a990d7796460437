/** Something that could not be done, while the rest holds all the same. Shown to people wherever they ask for status. */
export interface Problem {
  readonly severity: "error" | "warning";
  /** Who is at fault or affected: a node's name, a device, a field. */
  readonly subject: string;
  readonly message: string;
  readonly remedy: string;
  /** One word for machines, as Kubernetes' events and conditions have it: "PodCIDRMissing". Absent: of no kind of its own. */
  readonly reason?: string;
}
