import { type ErrorCode, type ErrorDetails, TwillError } from "../../base/errors.ts";
import { isRecord, type Status } from "./object.ts";

/** A refusal by the API server, told by its HTTP status (RFC 9110) and the reason of its Status object. */
export class ApiError extends TwillError {
  readonly status: number;
  /** Kubernetes' word for it: "AlreadyExists", "Expired", "TooManyRequests"…; "" when the answer was not the API's. */
  readonly reason: string;
  /** Seconds after which the server wants to be asked again. */
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails, answer: Answer) {
    super(code, message, details);
    this.status = answer.status;
    this.reason = answer.body.reason ?? "";
    this.retryAfter = answer.retryAfter ?? answer.body.details?.retryAfterSeconds;
  }
}

export interface Answer {
  readonly status: number;
  readonly retryAfter?: number | undefined;
  readonly body: Status;
}

/** What was asked, in the API's words, for the remedies. */
export interface Asked {
  /** RBAC's verb: get, list, watch, create, update, patch, delete. */
  readonly verb: string;
  /** RBAC's resource: "configmaps", "nodes/status". */
  readonly resource: string;
  readonly group: string;
  readonly namespace: string | undefined;
  /** For people: "configmaps/twill-system/nodes.a". */
  readonly object: string;
  /** Where the credentials come from: "the kubeconfig /root/.kube/config". */
  readonly credentials: string;
}

export function isStatus(error: unknown, status: number): error is ApiError {
  return error instanceof ApiError && error.status === status;
}

/** History before the asked revision is forgotten, or the revision is one the server never had. */
export const isExpired = (error: unknown): boolean =>
  error instanceof ApiError &&
  (error.status === 410 || error.reason === "Expired" || error.reason === "Gone" || isTooLargeRevision(error));

/** staging/src/k8s.io/apiserver/pkg/storage/errors.go: a Timeout (504) with the cause ResourceVersionTooLarge. */
const isTooLargeRevision = (error: ApiError): boolean =>
  error.reason === "Timeout" && error.message.includes("Too large resource version");

/** @returns the error for an answer that is not a success. */
export function refusal(asked: Asked, answer: Answer): ApiError {
  const { code, message, remedy } = explain(asked, answer);
  const details = { operation: asked.verb, object: asked.object, ...(remedy !== undefined && { remedy }) };
  return new ApiError(code, message, details, answer);
}

interface Explanation {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy?: string;
}

function explain(asked: Asked, { status, body }: Answer): Explanation {
  const said = body.message ?? `the API server answered ${status}`;
  switch (status) {
    case 401:
      return {
        code: "denied",
        message: "the API server does not accept our credentials",
        remedy: `renew the credentials in ${asked.credentials}`,
      };
    case 403:
      return { code: "denied", message: said, remedy: rbacRemedy(asked, said) };
    case 404:
      return missing(asked, body, said);
    case 409:
      return body.reason === "AlreadyExists"
        ? { code: "exists", message: "exists already" }
        : { code: "conflict", message: "was changed by someone else", remedy: "read it again" };
    case 410:
      return { code: "unavailable", message: said, remedy: "list again" };
    case 429:
      return {
        code: "unavailable",
        message: "the API server is overloaded and asks us to wait",
        remedy: "try again later",
      };
    case 400:
    case 405:
    case 413:
    case 415:
    case 422:
      return { code: "invalid", message: said };
    default:
      return {
        code: status >= 500 ? "unavailable" : "internal",
        message: said,
        remedy: "look at the API server's log if it stays so",
      };
  }
}

/** The object is missing, or its namespace, or the API server has no such resource at all. */
function missing(asked: Asked, body: Status, said: string): Explanation {
  if (body.details?.kind === "namespaces") {
    return {
      code: "unavailable",
      message: `the namespace ${asked.namespace} does not exist`,
      remedy: `kubectl create namespace ${asked.namespace}`,
    };
  }
  if (body.reason === "NotFound" && body.details?.name !== undefined)
    return { code: "not-found", message: "does not exist" };
  return {
    code: "unsupported",
    message: `the API server does not serve ${asked.resource}: ${said}`,
    remedy: "check the address of the API server, and that the cluster has that resource",
  };
}

function rbacRemedy({ verb, resource, group, namespace }: Asked, said: string): string {
  const user = /User "([^"]+)"/.exec(said)?.[1];
  const what = `"${verb}" on ${group === "" ? resource : `${resource}.${group}`}`;
  const where = namespace === undefined ? "in a ClusterRole" : `in a Role of the namespace ${namespace}`;
  return `grant ${user ?? "the user"} ${what} ${where}; applying Twill's manifest again restores its rules`;
}

/** A Status object, or what is worth telling of another body: a proxy's HTML page, plain text. */
export function parseStatus(text: string): Status {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value) && value.kind === "Status") return readStatus(value);
  } catch {
    // Not JSON: below.
  }
  const plain = text.replace(/\s+/g, " ").trim().slice(0, 200);
  return plain === "" ? {} : { message: `the API server answered: ${plain}` };
}

/** Of an object that came from outside: every field may be of another type than it should be. */
export function readStatus(value: Readonly<Record<string, unknown>>): Status {
  const { code, reason, message, details } = value;
  return {
    ...(typeof code === "number" && { code }),
    ...(typeof reason === "string" && { reason }),
    ...(typeof message === "string" && { message: message.slice(0, 2000) }),
    ...(isRecord(details) && { details: readDetails(details) }),
  };
}

function readDetails({
  kind,
  name,
  retryAfterSeconds,
}: Readonly<Record<string, unknown>>): NonNullable<Status["details"]> {
  return {
    ...(typeof kind === "string" && { kind }),
    ...(typeof name === "string" && { name }),
    ...(typeof retryAfterSeconds === "number" && { retryAfterSeconds }),
  };
}
