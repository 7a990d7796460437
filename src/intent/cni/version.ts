import { CniError, cniCodes } from "./cni-error.ts";

/** Every released version of the CNI specification, oldest first. */
export const cniVersions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof cniVersions)[number];

export const newestVersion: CniVersion = "1.1.0";

export const isCniVersion = (text: string): text is CniVersion => cniVersions.some((version) => version === text);

export const atLeast = (version: CniVersion, least: CniVersion): boolean =>
  cniVersions.indexOf(version) >= cniVersions.indexOf(least);

/**
 * The version of a network configuration; without one it is 0.1.0, as libcni takes it.
 * @throws CniError 1 for a version that we do not speak, 6 for what is no version.
 */
export function parseVersion(text: string | undefined): CniVersion {
  if (text === undefined || text === "") return "0.1.0";
  if (isCniVersion(text)) return text;
  const written = JSON.stringify(text.slice(0, 80));
  if (!/^[0-9]+\.[0-9]+\.[0-9]+(?:-[-.0-9A-Za-z]+)?$/.test(text)) {
    throw new CniError(cniCodes.decode, `cniVersion ${written} is not a version`, {
      remedy: `write "${newestVersion}"`,
    });
  }
  throw new CniError(cniCodes.incompatibleVersion, `CNI version ${written} is not supported`, {
    remedy: `use one of ${cniVersions.join(", ")}`,
  });
}

/** The answer to VERSION. It repeats the caller's version; whatever else is on stdin, it must not fail. */
export function formatVersions(stdin: string): string {
  return JSON.stringify({ cniVersion: versionIn(stdin) ?? newestVersion, supportedVersions: cniVersions });
}

/** The caller's version, if it can be made out: errors are answered in it even when the rest cannot be read. */
export function versionIn(stdin: string): CniVersion | undefined {
  try {
    const document: unknown = JSON.parse(stdin);
    if (typeof document !== "object" || document === null || !("cniVersion" in document)) return undefined;
    const { cniVersion } = document;
    return typeof cniVersion === "string" && isCniVersion(cniVersion) ? cniVersion : undefined;
  } catch {
    return undefined;
  }
}
