/** Who an interface belongs to: all state is kept under this key (one pod may have several interfaces). */
export interface AttachmentKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}
