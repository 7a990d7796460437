import { expect, setDefaultTimeout, test } from "bun:test";
import { redact, removed } from "./redact.ts";

// This machine may be busy with much else.
setDefaultTimeout(60_000);

test("secrets go, the rest stays", () => {
  const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlMTIz";
  const texts: readonly (readonly [string, string])[] = [
    ["etcd:https://root:hunter2@10.0.0.1:2379", `etcd:https://root:${removed}@10.0.0.1:2379`],
    ["Authorization: Bearer abcdefgh12345", `Authorization: Bearer ${removed}`],
    [`token is ${jwt} here`, `token is ${removed} here`],
    ['{"password":"hunter2","port":8472}', `{"password":"${removed}","port":8472}`],
    ['"{\\"Token\\": \\"hunter2\\"}"', `"{\\"Token\\": \\"${removed}\\"}"`],
    ["AWS_SECRET_ACCESS_KEY=hunter2 run", `AWS_SECRET_ACCESS_KEY=${removed} run`],
    ["cmd --password hunter2 --all", `cmd --password ${removed} --all`],
    // As our own error says it, alone and in a log and a report.
    [
      'Password: unknown field "Password" with the text "hunter2" (remove it)',
      `Password: ${removed} field "Password" with the text "${removed}" (remove it)`,
    ],
    [
      'error="Backend.ApiKey: unknown field \\"ApiKey\\" with the text \\"hunter2\\" (remove it)"',
      `error="Backend.ApiKey: ${removed} field \\"ApiKey\\" with the text \\"${removed}\\" (remove it)"`,
    ],
    ["client-key-data: aGVsbG8=", `client-key-data: ${removed}`],
    ["-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----\nnext", `${removed}\nnext`],
    ["-----BEGIN PRIVATE KEY-----\nhunter2 cut off", removed],
    [
      "2026-01-01 WARN datastore away url=https://a:hunter2@b",
      `2026-01-01 WARN datastore away url=https://a:${removed}@b`,
    ],
  ];
  for (const [text, clean] of texts) expect(redact(text)).toBe(clean);
  expect(redact("abc c2VjcmV0a2V5 def", ["c2VjcmV0a2V5"])).toBe(`abc ${removed} def`);
  const plain =
    'inet twill outgoing: rule handle 7 "10.244.0.0/16 to the outside"; fd00::1:80; key 0x54; tokens are not passed on; http://a.b/c:d@e';
  expect(redact(plain)).toBe(plain);
});
