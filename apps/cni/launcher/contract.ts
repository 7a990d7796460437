/** What the launcher and the program behind it have agreed upon. Both are installed together, but not in one moment. */

/** The program behind the launcher lies beside it under this name. */
export const programName = "twill";

/**
 * Why the launcher handed a call over, as the program's one argument.
 * `ask`: the agent has not carried the call out, or was not asked. The others: it was asked and may have carried it out, so
 * it must not be asked again.
 */
export const reasons = { ask: "ask", hungUp: "hung-up", timedOut: "timed-out" } as const;

/** Seconds that the agent may take; 200 pods at once take it less than one. TWILL_CNI_TIMEOUT overrides it. */
export const patience: Readonly<Record<string, number>> = { ADD: 30, DEL: 15, CHECK: 30, GC: 30, STATUS: 5 };

export const defaultSocket = "/run/twill/agent.sock";
