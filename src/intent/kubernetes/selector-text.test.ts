import { expect, test } from "bun:test";
import type { Selector } from "../../model/policy.ts";
import { matchText, selectorText } from "./selector-text.ts";

test("selectors as kubectl writes them", () => {
  const cases: readonly (readonly [Selector, string])[] = [
    [{ op: "all" }, "*"],
    [{ op: "in", key: "app", values: ["web"] }, "app=web"],
    [{ op: "in", key: "app", values: ["a", "b"] }, "app in (a,b)"],
    [{ op: "not-in", key: "app", values: ["web"] }, "app!=web"],
    [{ op: "not-in", key: "app", values: ["a", "b"] }, "app notin (a,b)"],
    [{ op: "has", key: "x" }, "x"],
    [{ op: "not", of: { op: "has", key: "x" } }, "!x"],
    [{ op: "starts-with", key: "x", value: "a" }, 'x starts with "a"'],
    [
      {
        op: "and",
        of: [
          { op: "has", key: "a" },
          {
            op: "or",
            of: [
              { op: "has", key: "b" },
              { op: "has", key: "c" },
            ],
          },
        ],
      },
      "a,(b || c)",
    ],
  ];
  for (const [selector, text] of cases) expect(selectorText(selector)).toBe(text);
});

test("whom a policy selects", () => {
  const team: Selector = { op: "in", key: "team", values: ["a"] };
  expect(matchText({ namespace: "shop" })).toBe("*");
  expect(matchText({ namespaces: { op: "all" }, labels: team })).toBe("team=a");
  expect(matchText({ namespaces: team, serviceAccounts: ["x"] })).toBe("* in namespaces team=a as x");
});
