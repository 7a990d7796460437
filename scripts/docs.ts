/** `npm run docs`: writes what is made from the code into docs/. A test says when it is stale. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./build.ts";
import { configurationDocs } from "./generate-configuration-docs.ts";

writeFileSync(join(root, "docs/configuration.md"), configurationDocs());
