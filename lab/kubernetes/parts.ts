import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { TwillError } from "../../src/base/errors.ts";
import type { Programs } from "../programs.ts";
import { allPrograms, cacheDirectory } from "./binaries.ts";
import type { KubernetesParams } from "./settings.ts";

/** Beside the executable that is in it. */
export const twillImage = "twill-image.tar";

/** What `npm run cluster` has made, and where. @throws TwillError `not-found`. */
export function findKubernetes(programs: Programs): KubernetesParams {
  const cache = cacheDirectory();
  const found = {
    binaries: cache,
    images: [join(cache, "pause.tar"), join(cache, "agnhost.tar"), join(programs.folder, twillImage)],
    manifest: join(dirname(programs.folder), "deploy", "twill.yaml"),
  };
  const wanted = [...allPrograms.map((program) => join(cache, program)), ...found.images, found.manifest];
  const missing = wanted.find((path) => !existsSync(path));
  if (Bun.which("runc", { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }) === null)
    throw new TwillError("not-found", "runc is not installed", {
      operation: "start Kubernetes",
      remedy: 'install Debian\'s package runc, or run "npm run cluster", which does',
    });
  if (missing === undefined) return found;
  throw new TwillError("not-found", "it is not there", {
    operation: "start Kubernetes",
    object: missing,
    remedy: 'run "npm run cluster" once, which builds all that is needed',
  });
}
