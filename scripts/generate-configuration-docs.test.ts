import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parsePluginConfig } from "../src/intent/cni/config.ts";
import { ipamFields, pluginFields } from "../src/intent/cni/config-fields.ts";
import { backendFields } from "../src/intent/flannel/backend-fields.ts";
import { parseNetConf } from "../src/intent/flannel/net-conf.ts";
import { networkFields } from "../src/intent/flannel/network-fields.ts";
import type { Schema } from "../src/intent/schema.ts";
import { configurationDocs } from "./generate-configuration-docs.ts";

const docs = configurationDocs();

test("docs/configuration.md is what the schemas say: else run `npm run docs`", () => {
  expect(readFileSync(join(import.meta.dir, "../docs/configuration.md"), "utf8")).toBe(docs);
});

test("every field has a meaning", () => {
  const schemas: readonly Schema[] = [networkFields, pluginFields, ipamFields, ...Object.values(backendFields)];
  const silent = schemas.flatMap((schema) => Object.entries(schema).filter(([, field]) => field.meaning === ""));
  expect(silent.map(([name]) => name)).toEqual([]);
});

test("the examples are valid", () => {
  const [network, list] = [...docs.matchAll(/```json\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
  expect(parseNetConf(network ?? "").ipv6?.subnetLength).toBe(64);
  const { plugins, ...shared } = JSON.parse(list ?? "");
  // As libcni hands an entry of the list over (CNI specification, section 3).
  expect(parsePluginConfig(JSON.stringify({ ...plugins[0], ...shared }), "ADD").attachment.type).toBe("macvlan");
});
