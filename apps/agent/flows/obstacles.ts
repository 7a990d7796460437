import type { FlowObstacle } from "../../../src/model/flow.ts";
import { marks } from "../../../src/render/hooks.ts";

const obstacles: ReadonlyMap<number, FlowObstacle> = new Map([
  [marks.spoofed, "spoofed"],
  [marks.unknownPod, "unknown-pod"],
  [marks.unreadable, "unreadable"],
  [marks.cut, "cut"],
  [marks.changed, "changed"],
  [0, "no-connection"],
]);

/** What a reported packet's mark says where it is no decision's number. */
export const obstacleOf = (mark: number): FlowObstacle | undefined => obstacles.get(mark);
