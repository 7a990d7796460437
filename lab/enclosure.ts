import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../src/base/errors.ts";
import type { LabApi, UpParams } from "./api.ts";
import { callLab, type Progress } from "./control.ts";
import { claimDirectory, isRunning, removeLab } from "./directory.ts";
import { controlSocket } from "./init.ts";
import { findPrograms } from "./programs.ts";
import { labEnvironment } from "./settings.ts";

/**
 * Makes a lab in namespaces of its own and returns once it is up. On any error, and when this process dies, all of it
 * is gone again.
 * @throws TwillError `exists` when there is one already; `unsupported` when this machine cannot.
 */
export async function createLab(directory: string, params: UpParams, progress: Progress): Promise<void> {
  const rootless = !(await canUnshare([]));
  if (rootless && !(await canUnshare(userNamespace))) throw cannotUnshare();
  if (isRunning(directory))
    throw new TwillError("exists", "a lab is running", {
      operation: "create lab",
      object: directory,
      remedy: '"twill lab status" shows it, "twill lab down" ends it, --replace does both',
    });
  await removeLab(directory);
  claimDirectory(directory, rootless);
  const programs = findPrograms();
  const log = openSync(join(directory, "lab.log"), "a", 0o600);
  const child = Bun.spawn(
    [
      "unshare",
      ...(rootless ? userNamespace : []),
      ...[...namespaces, "--kill-child", "--"],
      ...[...programs.twill, "lab", "init", directory],
    ],
    { stdio: ["pipe", log, log], env: labEnvironment(directory, programs), cwd: "/", detached: true },
  );
  closeSync(log);
  const abandon = async () => {
    await child.stdin.end();
    await removeLab(directory);
  };
  const interrupt = onInterrupt(abandon);
  try {
    await awaitSocket(directory, child);
    await callLab<LabApi, "up">(controlSocket(directory), "up", params, progress);
    await child.stdin.write("keep\n");
    await child.stdin.end();
    child.unref();
  } catch (error) {
    if (interrupt.raised()) await new Promise(() => {}); // the handler ends the process
    await abandon();
    throw error;
  } finally {
    interrupt.forget();
  }
}

const userNamespace = ["--user", "--map-root-user"];
/** UTS too: a process comes home only to a namespace that its user namespace owns (setns(2)). */
const namespaces = ["--mount", "--uts", "--net", "--pid", "--fork"];

async function canUnshare(more: readonly string[]): Promise<boolean> {
  const command = ["unshare", ...more, ...namespaces, "true"];
  return (await Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] }).exited) === 0;
}

/** Which of the switches that kernels and distributions have is off. */
function cannotUnshare(): TwillError {
  const value = (path: string) => {
    try {
      return readFileSync(`/proc/sys/${path}`, "utf8").trim();
    } catch {
      return undefined;
    }
  };
  const asRoot = "or run it as root";
  const refuse = (message: string, remedy: string) =>
    new TwillError("unsupported", message, { operation: "create lab", remedy: `${remedy}, ${asRoot}` });
  if (Bun.which("unshare") === null || Bun.which("nsenter") === null)
    return refuse("the programs unshare and nsenter are missing", "install util-linux");
  if (value("kernel/unprivileged_userns_clone") === "0")
    return refuse(
      "this kernel gives user namespaces to root only",
      'run "sysctl kernel.unprivileged_userns_clone=1" as root',
    );
  if (value("kernel/apparmor_restrict_unprivileged_userns") === "1")
    return refuse(
      "AppArmor restricts user namespaces",
      'run "sysctl kernel.apparmor_restrict_unprivileged_userns=0" as root',
    );
  if (value("user/max_user_namespaces") === "0")
    return refuse("no user namespaces are allowed", 'run "sysctl user.max_user_namespaces=10000" as root');
  return refuse(
    "this machine does not let you make namespaces",
    "a container needs --privileged or at least CAP_SYS_ADMIN and no seccomp filter on unshare",
  );
}

async function awaitSocket(directory: string, child: Bun.Subprocess): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!existsSync(controlSocket(directory))) {
    if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline)
      throw new TwillError(
        "unavailable",
        `it did not start: ${readFileSync(join(directory, "lab.log"), "utf8").trim()}`,
        {
          operation: "create lab",
          object: directory,
        },
      );
    await Bun.sleep(5);
  }
}

/** Runs `abandon` on ctrl-C and its like, then ends with the status that shells expect. */
function onInterrupt(abandon: () => Promise<void>): { readonly raised: () => boolean; forget(): void } {
  const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  let raised = false;
  const handlers = Object.entries(signals).map(([signal, status]) => {
    const handler = () => {
      if (raised) return;
      raised = true;
      void abandon().finally(() => process.exit(status));
    };
    process.on(signal, handler);
    return () => process.off(signal, handler);
  });
  return {
    raised: () => raised,
    forget: () => {
      for (const off of handlers) off();
    },
  };
}
