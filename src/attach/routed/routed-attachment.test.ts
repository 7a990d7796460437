import { attachmentContract } from "../attachment.contract.ts";
import { RoutedAttachment } from "./routed-attachment.ts";

attachmentContract({
  type: "routed",
  make: (kernel) => new RoutedAttachment(kernel),
  length: { 4: 32, 6: 128 },
  gateways: [],
  reachesNode: true,
  hostSide: true,
});
