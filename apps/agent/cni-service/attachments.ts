import type { AttachKernel } from "../../../src/attach/attach-kernel.ts";
import type { Attachment } from "../../../src/attach/attachment.ts";
import { BridgeAttachment } from "../../../src/attach/bridge/bridge-attachment.ts";
import { MacvlanAttachment } from "../../../src/attach/macvlan/macvlan-attachment.ts";
import { RoutedAttachment } from "../../../src/attach/routed/routed-attachment.ts";
import type { AttachmentConfig } from "../../../src/intent/cni/config.ts";

/** The attachment that a configuration names. They keep no state of their own, so one is made for each call. */
export function attachmentOf(kernel: AttachKernel, config: AttachmentConfig): Attachment {
  switch (config.type) {
    case "routed":
      return new RoutedAttachment(kernel);
    case "bridge":
      return new BridgeAttachment(kernel, { name: config.bridge, hairpin: config.hairpinMode });
    case "macvlan":
      return new MacvlanAttachment(kernel, { master: config.master, mode: config.mode });
  }
}
