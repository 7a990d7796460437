import { readFileSync } from "node:fs";

/**
 * Root of the machine, not of a user namespace: the latter cannot have socket buffers beyond net.core.rmem_max, so tests
 * that listen to thousands of notifications in one go must be content with fewer.
 */
export const isRealRoot = (): boolean => /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
