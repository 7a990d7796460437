import { expect, test } from "bun:test";
import { TwillError } from "../../base/errors.ts";
import { pick, seededRandom } from "../../base/random.ts";
import { type Asked, isExpired, parseStatus, refusal } from "./api-error.ts";
import { connectionError } from "./connection-error.ts";

const asked: Asked = {
  verb: "patch",
  resource: "nodes/status",
  group: "",
  namespace: undefined,
  object: "nodes/a/status",
  credentials: "the kubeconfig /k",
};
const answer = (status: number, body: object = {}) => ({
  status,
  body: parseStatus(JSON.stringify({ kind: "Status", ...body })),
});

test("each answer of the API has its code", () => {
  const codes: readonly (readonly [number, object, string])[] = [
    [400, {}, "invalid"],
    [401, {}, "denied"],
    [403, {}, "denied"],
    [404, { reason: "NotFound", details: { name: "a" } }, "not-found"],
    [404, {}, "unsupported"],
    [404, { reason: "NotFound", details: { name: "n", kind: "namespaces" } }, "unavailable"],
    [409, { reason: "AlreadyExists" }, "exists"],
    [409, { reason: "Conflict" }, "conflict"],
    [410, { reason: "Expired" }, "unavailable"],
    [413, {}, "invalid"],
    [418, {}, "internal"],
    [422, { reason: "Invalid" }, "invalid"],
    [429, {}, "unavailable"],
    [500, {}, "unavailable"],
    [504, { reason: "Timeout" }, "unavailable"],
  ];
  for (const [status, body, code] of codes) {
    expect([status, body, refusal(asked, answer(status, body)).code as string]).toEqual([status, body, code]);
  }
});

test("a denial names the rule that is missing", () => {
  const message =
    'nodes "a" is forbidden: User "system:serviceaccount:twill-system:agent" cannot patch resource "nodes/status"';
  const error = refusal(asked, answer(403, { message }));
  expect(error.describe()).toBe(
    `patch nodes/a/status: ${message} (grant system:serviceaccount:twill-system:agent "patch" on nodes/status in a ClusterRole; applying Twill's manifest again restores its rules)`,
  );
  const custom = refusal({ ...asked, group: "twill.dev", resource: "pools", namespace: "n" }, answer(403));
  expect(custom.remedy).toStartWith('grant the user "patch" on pools.twill.dev in a Role of the namespace n');
});

test("forgotten history, and a revision that the server never had, are expired", () => {
  expect(isExpired(refusal(asked, answer(410)))).toBe(true);
  expect(isExpired(refusal(asked, answer(500, { reason: "Expired" })))).toBe(true);
  const message = "Too large resource version: 9, current: 5";
  expect(isExpired(refusal(asked, answer(504, { reason: "Timeout", message })))).toBe(true);
  expect(isExpired(refusal(asked, answer(504, { reason: "Timeout" })))).toBe(false);
});

test("bodies that are no Status, or lie about their types, are read as far as they go", () => {
  expect(parseStatus("")).toEqual({});
  expect(parseStatus("<html>\n <b>502</b>")).toEqual({ message: "the API server answered: <html> <b>502</b>" });
  expect(parseStatus('{"kind":"Status","code":"x","reason":7,"message":null,"details":[]}')).toEqual({});
  const pieces = ["{", "}", '"kind":"Status"', ",", '"code":', "1", '"details":{"name":', "null", '"x"', "["];
  for (let seed = 1; seed <= 500; seed++) {
    const random = seededRandom(seed);
    const text = Array.from({ length: random.below(12) }, () => pick(random, pieces)).join("");
    expect(refusal(asked, { status: 500, body: parseStatus(text) }).code).toBe("unavailable");
  }
});

test("failures of the connection say whether the request may have been carried out", () => {
  const attempted = {
    operation: "get",
    object: "nodes/a",
    server: "https://10.0.0.1:6443",
    source: "the kubeconfig /k",
  };
  const failure = (code: string) => connectionError(Object.assign(new Error("x"), { code }), attempted);
  const table: readonly (readonly [string, string, boolean])[] = [
    ["ECONNREFUSED", "unavailable", false],
    ["ENOTFOUND", "unavailable", false],
    ["EHOSTUNREACH", "unavailable", false],
    ["EPROTO", "unavailable", false],
    ["ECONNRESET", "unavailable", true],
    ["", "unavailable", true],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "denied", false],
    ["CERT_HAS_EXPIRED", "denied", false],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "denied", false],
  ];
  for (const [code, expected, ambiguous] of table) {
    const error = failure(code);
    expect([code, error.code as string, error.ambiguous]).toEqual([code, expected, ambiguous]);
    expect(error).toBeInstanceOf(TwillError);
    expect(error.remedy).toBeString();
  }
  expect(connectionError("not an error at all", attempted).code).toBe("unavailable");
});
