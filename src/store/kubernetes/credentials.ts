import type { Material } from "./material.ts";

/** What proves to the API server who we are, at one moment. */
export interface Proof {
  /** Bearer token. */
  readonly token?: string;
  /** PEM. */
  readonly certificate?: string;
  /** PEM. */
  readonly key?: string;
}

/** Who we are for the API server; asked for a proof before each request. */
export interface Credentials {
  /** @throws TwillError when there is none to be had now. */
  proof(): Promise<Proof>;
  /** The server refused this proof (401). True: the next one may be another, so it is worth trying again. */
  refused(proof: Proof): boolean;
}

/** Nobody: the server decides what system:anonymous may. */
export const anonymous: Credentials = { proof: async () => ({}), refused: () => false };

/** A bearer token and a client certificate, each as it stands where it is kept. */
export function materialCredentials(parts: {
  readonly token?: Material | undefined;
  readonly certificate?: Material | undefined;
  readonly key?: Material | undefined;
}): Credentials {
  const proof = (): Proof => ({
    ...(parts.token && { token: parts.token.read() }),
    ...(parts.certificate && { certificate: parts.certificate.read() }),
    ...(parts.key && { key: parts.key.read() }),
  });
  return {
    proof: async () => proof(),
    refused: (used) => {
      const now = proof();
      return now.token !== used.token || now.certificate !== used.certificate;
    },
  };
}
