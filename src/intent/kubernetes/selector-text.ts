import type { EndpointMatch, Selector } from "../../model/policy.ts";

/** As kubectl writes selectors: "app=web,tier in (a,b),!legacy". Everything: "*". */
export function selectorText(selector: Selector): string {
  switch (selector.op) {
    case "all":
      return "*";
    case "has":
      return selector.key;
    case "in":
      return selector.values.length === 1 ? `${selector.key}=${selector.values[0]}` : among(selector, "in");
    case "not-in":
      return selector.values.length === 1 ? `${selector.key}!=${selector.values[0]}` : among(selector, "notin");
    case "contains":
    case "starts-with":
    case "ends-with":
      return `${selector.key} ${selector.op.replace("-", " ")} ${JSON.stringify(selector.value)}`;
    case "not":
      return selector.of.op === "has" ? `!${selector.of.key}` : `!(${selectorText(selector.of)})`;
    case "and":
      return selector.of.map((part) => (part.op === "or" ? `(${selectorText(part)})` : selectorText(part))).join(",");
    case "or":
      return selector.of.map(selectorText).join(" || ");
  }
}

const among = ({ key, values }: { readonly key: string; readonly values: readonly string[] }, word: string): string =>
  `${key} ${word} (${values.join(",")})`;

/** Which pods: "app=web", "app=web in namespaces team=a", "*". The namespace itself, where it is one, is said elsewhere. */
export function matchText({ namespaces, labels, serviceAccounts }: EndpointMatch): string {
  const pods = labels === undefined ? "*" : selectorText(labels);
  const within =
    namespaces === undefined || namespaces.op === "all" ? "" : ` in namespaces ${selectorText(namespaces)}`;
  const accounts = serviceAccounts === undefined ? "" : ` as ${serviceAccounts.join(",")}`;
  return `${pods}${within}${accounts}`;
}
