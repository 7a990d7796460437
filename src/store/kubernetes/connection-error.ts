import { describeError, type ErrorDetails, TwillError } from "../../base/errors.ts";

/** No answer came from the API server. */
export class ConnectionError extends TwillError {
  /** The request may have been carried out all the same: its answer is what was lost. */
  readonly ambiguous: boolean;

  constructor(explanation: Explanation, details: ErrorDetails) {
    super(explanation.code, explanation.message, { ...details, remedy: explanation.remedy });
    this.ambiguous = explanation.ambiguous;
  }
}

interface Explanation {
  readonly code: "unavailable" | "denied";
  readonly message: string;
  readonly remedy: string;
  readonly ambiguous: boolean;
}

export interface Attempted {
  readonly operation: string;
  readonly object: string;
  readonly server: string;
  /** Where the address, the certificate authority and the credentials come from. */
  readonly source: string;
}

/** @param failure what fetch (Bun 1.4) or its body's stream threw: an Error with the code of the system, of OpenSSL, or of Bun. */
export function connectionError(failure: unknown, attempted: Attempted): ConnectionError {
  const { operation, object } = attempted;
  return new ConnectionError(explain(codeOf(failure), failure, attempted), { operation, object, cause: failure });
}

const codeOf = (failure: unknown): string =>
  failure instanceof Error && "code" in failure ? String(failure.code) : "";

function explain(code: string, failure: unknown, { server, source }: Attempted): Explanation {
  const untrusted = (message: string, remedy: string): Explanation => ({
    code: "denied",
    message,
    remedy,
    ambiguous: false,
  });
  const away = (message: string, remedy: string, ambiguous: boolean): Explanation => ({
    code: "unavailable",
    message,
    remedy,
    ambiguous,
  });
  switch (code) {
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "CERT_SIGNATURE_FAILURE":
      return untrusted(
        `the certificate of ${server} is not signed by the certificate authority we were given`,
        `give the cluster's own certificate authority in ${source}`,
      );
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return untrusted(
        `the certificate of ${server} is not valid today (${code})`,
        "renew the API server's certificate, and look at the clocks of both machines",
      );
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return untrusted(
        `the certificate of ${server} is for another name or address`,
        "use an address that the certificate names, or set tls-server-name in the kubeconfig",
      );
    case "ECONNREFUSED":
      return away(`nobody listens at ${server}`, "start the API server, or correct its address", false);
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return away(`the name in ${server} is not known`, "give the API server's address as a number", false);
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return away(`there is no route to ${server}`, "look at the routes of this machine", false);
    case "EPROTO":
      return away(`${server} does not speak TLS as we do`, "check the port, and http against https", false);
    case "Malformed_HTTP_Response":
      return away(`what answers at ${server} is no API server`, "check the address and port", true);
    default:
      return away(`the connection to ${server} broke: ${describeError(failure)}`, "it is tried again", true);
  }
}

/** `milliseconds` passed without an answer. */
export function timedOut(milliseconds: number, { operation, object, server }: Attempted): ConnectionError {
  return new ConnectionError(
    {
      code: "unavailable",
      message: `${server} did not answer within ${Math.round(milliseconds / 1000)} s`,
      remedy: "look at the load of the API server, and for something on the way that drops packets",
      ambiguous: true,
    },
    { operation, object },
  );
}
