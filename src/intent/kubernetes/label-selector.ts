import type { Selector } from "../../model/policy.ts";
import { type Place, wrong } from "../schema.ts";
import { readLabelKey, readLabels, readLabelValue } from "./labels.ts";
import { itemsOf, missing, type Reading, readFields, readWord } from "./reading.ts";

export const everything: Selector = { op: "all" };

/**
 * A LabelSelector (k8s.io/apimachinery meta/v1): matchLabels and matchExpressions, all of which must hold. Empty: everything.
 * `NotIn` holds where the label is absent, too. An unknown field would select less, which protects less where a subject is selected, so
 * none is taken. @throws JsonError.
 */
export function readLabelSelector(place: Place, reading: Reading): Selector {
  const fields = readFields(place, ["matchLabels", "matchExpressions"], reading, {
    unknown: { refuse: "labels stand under matchLabels: {app: web}, everything else under matchExpressions" },
  });
  const labels = fields.at("matchLabels");
  const expressions = fields.at("matchExpressions");
  return allOf([
    ...(labels === undefined ? [] : Object.entries(readLabels(labels)).map(([key, value]) => equals(key, value))),
    ...(expressions === undefined ? [] : itemsOf(expressions).map((item) => readRequirement(item, reading))),
  ]);
}

const equals = (key: string, value: string): Selector => ({ op: "in", key, values: [value] });

function allOf(selectors: readonly Selector[]): Selector {
  const [first, ...others] = selectors;
  if (first === undefined) return everything;
  return others.length === 0 ? first : { op: "and", of: selectors };
}

const operators = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

function readRequirement(place: Place, reading: Reading): Selector {
  const unknown = { refuse: "write key, operator and values" };
  const fields = readFields(place, ["key", "operator", "values"], reading, { unknown });
  const keyPlace = fields.at("key");
  const operatorPlace = fields.at("operator");
  if (keyPlace === undefined) throw missing(fields, "key", "add the label's name: key: role");
  if (operatorPlace === undefined) throw missing(fields, "operator", `add one of ${operators.join(", ")}`);
  const key = readLabelKey(keyPlace);
  const operator = readWord(operatorPlace, operators);
  const valuesPlace = fields.at("values");
  const values = valuesPlace === undefined ? [] : itemsOf(valuesPlace).map(readLabelValue);
  if (operator === "Exists" || operator === "DoesNotExist") {
    if (valuesPlace !== undefined && values.length > 0) {
      throw wrong(valuesPlace, `${operator} takes no values`, "remove them, or use In or NotIn");
    }
    const has: Selector = { op: "has", key };
    return operator === "Exists" ? has : { op: "not", of: has };
  }
  if (values.length === 0) throw missing(fields, "values", `list at least one value for ${operator}`);
  return { op: operator === "In" ? "in" : "not-in", key, values: [...new Set(values)].sort() };
}
