import { existsSync, type FSWatcher, watch } from "node:fs";

/** Milliseconds between looks where nothing is announced. */
const lookEvery = 2_000;

/**
 * Calls back when something may have been put into the folder: at once where inotify tells, else now and then. Of inotify
 * instances root has 128 on the whole machine (fs.inotify.max_user_instances), which kubelets and containers use up: that
 * must cost a delay, not the agent (EMFILE).
 * @returns stops it.
 */
export function watchFolder(folder: string, changed: () => void): () => void {
  const look = () => {
    if (existsSync(folder)) changed();
  };
  let timer: ReturnType<typeof setInterval> | undefined;
  let watcher: FSWatcher | undefined;
  const lookInstead = () => {
    watcher?.close();
    timer ??= setInterval(look, lookEvery);
  };
  try {
    watcher = watch(folder, look);
    watcher.on("error", lookInstead);
  } catch {
    lookInstead();
  }
  return () => {
    watcher?.close();
    clearInterval(timer);
  };
}
