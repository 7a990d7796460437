import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Watches its argument and says each time that it should be looked at. */
const program = `
  import { watchFolder } from "${join(import.meta.dir, "folder-watch.ts")}";
  watchFolder(process.argv[1], () => console.log("look"));
  console.log("watching");`;

/** In a user namespace of its own, whose limits are its own too. */
function watching(folder: string, instances: number) {
  const limit = `echo ${instances} >/proc/sys/user/max_inotify_instances && exec "$@"`;
  return Bun.spawn(
    [
      ...["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"],
      ...[process.execPath, "-e", program, folder],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
}

for (const [instances, how] of [
  [10, "by inotify"],
  [0, "by looking, where inotify's instances are used up"],
] as const) {
  test(`what is put into the folder is noticed ${how}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "twill-folder-watch-"));
    const child = watching(folder, instances);
    try {
      const reader = child.stdout.getReader();
      const heard = async () => new TextDecoder().decode((await reader.read()).value);
      expect(await heard()).toContain("watching");
      writeFileSync(join(folder, "new"), "");
      expect(await heard()).toContain("look");
    } finally {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true });
    }
  });
}
