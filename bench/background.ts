/**
 * A program that runs until it is killed, or until this process ends however it ends: then the kernel kills it (prctl(2),
 * PR_SET_PDEATHSIG, which util-linux's setpriv sets).
 */
export function startInBackground(command: readonly string[], output: number | "ignore" = "ignore"): Bun.Subprocess {
  return Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...command], { stdio: ["ignore", output, output] });
}
