import { expect, test } from "bun:test";
import { progressLine } from "./progress.ts";

const shownOn = (isTTY: boolean): string => {
  let written = "";
  const line = progressLine({ isTTY, columns: 12, write: (text) => (written += text) });
  line.show("pods: 1 of 2");
  line.show("pods: 2 of 2");
  line.show("checking");
  line.clear();
  return written;
};

test("a terminal sees one line that changes, a file sees a line for each step", () => {
  expect(shownOn(true)).toBe("\r\x1b[Kpods: 1 of \r\x1b[Kpods: 2 of \r\x1b[Kchecking\r\x1b[K");
  expect(shownOn(false)).toBe("pods\nchecking\n");
});
