import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TwillError } from "../src/base/errors.ts";
import type { LabApi, UpParams } from "./api.ts";
import { callLab, type Progress } from "./control.ts";
import { claimDirectory, isRunning, removeLab } from "./directory.ts";
import { controlSocket, keep } from "./init.ts";
import { findPrograms } from "./programs.ts";
import { labEnvironment } from "./settings.ts";

/**
 * Makes a lab in namespaces of its own. On any error, on ctrl-C and when this process is killed, all of it is gone again.
 * @param finish what belongs to making it: only when that has ended well the lab stays.
 * @throws TwillError `exists` when there is one already; `unsupported` when this machine cannot.
 */
export async function createLab<T>(
  directory: string,
  params: UpParams,
  progress: Progress,
  finish: () => Promise<T>,
): Promise<T> {
  if (isRunning(directory))
    throw new TwillError("exists", "a lab is running", {
      operation: "create lab",
      object: directory,
      remedy: '"twill lab status" shows it, "twill lab down" ends it, --replace does both',
    });
  const rootless = await needsUserNamespace();
  if (rootless && params.kubernetes !== undefined)
    throw new TwillError("unsupported", "kubelet and containerd need root", {
      operation: "create lab",
      remedy: "run it as root, or without --kubernetes",
    });
  await removeLab(directory);

  let isOurs = false;
  const abandon = async () => {
    if (isOurs) await removeLab(directory);
  };
  const interrupt = onInterrupt(abandon);
  try {
    claimDirectory(directory, rootless);
    isOurs = true;
    const init = startInit(directory, rootless);
    await awaitSocket(directory, init);
    await callLab<LabApi, "up">(controlSocket(directory), "up", params, progress);
    const result = await finish();
    await init.stdin.write(keep);
    await init.stdin.end();
    init.unref();
    return result;
  } catch (error) {
    if (interrupt.raised()) await new Promise(() => {}); // the handler ends the process
    await abandon();
    throw error;
  } finally {
    interrupt.forget();
  }
}

/** The lab's first process (init.ts), in a session of its own: ctrl-C on the terminal is for us to handle. */
function startInit(directory: string, rootless: boolean): Bun.Subprocess<"pipe", number, number> {
  const programs = findPrograms();
  const log = openSync(join(directory, "lab.log"), "a", 0o600);
  const enclose = ["unshare", ...(rootless ? userNamespace : []), ...namespaces, "--kill-child", "--"];
  try {
    return Bun.spawn([...enclose, ...programs.twill, "lab", "init", directory], {
      stdio: ["pipe", log, log],
      env: labEnvironment(directory, programs),
      cwd: "/",
      detached: true,
    });
  } finally {
    closeSync(log);
  }
}

const userNamespace = ["--user", "--map-root-user"];
/** UTS too: a process comes home only to a namespace that its user namespace owns (setns(2)). */
const namespaces = ["--mount", "--uts", "--net", "--pid", "--fork"];

/** Root makes namespaces as it is, others only inside a user namespace. @throws TwillError `unsupported` when neither goes. */
async function needsUserNamespace(): Promise<boolean> {
  if (Bun.which("unshare") === null || Bun.which("nsenter") === null)
    throw cannotUnshare("the programs unshare and nsenter are missing", "install util-linux");
  if (await canUnshare([])) return false;
  if (await canUnshare(userNamespace)) return true;
  throw whyNot();
}

async function canUnshare(more: readonly string[]): Promise<boolean> {
  const command = ["unshare", ...more, ...namespaces, "true"];
  return (await Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] }).exited) === 0;
}

/** The switches that kernels and distributions have, and what to do where one is off. */
const switches = [
  {
    path: "kernel/unprivileged_userns_clone",
    off: "0",
    message: "this kernel gives user namespaces to root only",
    remedy: 'run "sysctl kernel.unprivileged_userns_clone=1" as root',
  },
  {
    path: "kernel/apparmor_restrict_unprivileged_userns",
    off: "1",
    message: "AppArmor restricts user namespaces",
    remedy: 'run "sysctl kernel.apparmor_restrict_unprivileged_userns=0" as root',
  },
  {
    path: "user/max_user_namespaces",
    off: "0",
    message: "no user namespaces are allowed",
    remedy: 'run "sysctl user.max_user_namespaces=10000" as root',
  },
] as const;

function whyNot(): TwillError {
  const isOff = ({ path, off }: (typeof switches)[number]): boolean => {
    try {
      return readFileSync(`/proc/sys/${path}`, "utf8").trim() === off;
    } catch {
      return false; // this kernel has no such switch
    }
  };
  const found = switches.find(isOff);
  return found === undefined
    ? cannotUnshare(
        "this machine does not let you make namespaces",
        "a container needs --privileged, or CAP_SYS_ADMIN and no seccomp filter on unshare",
      )
    : cannotUnshare(found.message, found.remedy);
}

const cannotUnshare = (message: string, remedy: string): TwillError =>
  new TwillError("unsupported", message, { operation: "create lab", remedy: `${remedy}, or run it as root` });

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
