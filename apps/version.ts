declare const TWILL_VERSION: string | undefined;
declare const TWILL_REVISION: string | undefined;

/** Filled in by scripts/build.ts; a run from source says so. */
export const version: string = typeof TWILL_VERSION === "string" ? TWILL_VERSION : "source";
export const revision: string = typeof TWILL_REVISION === "string" ? TWILL_REVISION : "source";
