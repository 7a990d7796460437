import { TwillError } from "../base/errors.ts";
import { type Level, levels } from "../base/log.ts";
import type { AgentStatus, EndpointStatus, RouteStatus } from "../model/status.ts";

/**
 * What can be asked of an agent over its socket, by method. The agent registers a handler for each; a new method is an entry
 * here, one in `readParams`, and its handler.
 */
export interface Methods {
  /** A call of the CNI plugin, handed on as it came, with the pod's namespace as the one descriptor (absent: it is gone). */
  readonly cni: { readonly params: CniCall; readonly result: CniAnswer };
  /** Everything `twill status` shows. */
  readonly status: { readonly params: NoParams; readonly result: AgentStatus };
  /** Interfaces of pods on this node. */
  readonly endpoints: { readonly params: NoParams; readonly result: readonly EndpointStatus[] };
  /** Routes to other nodes, as wanted and as the kernel holds them. */
  readonly routes: { readonly params: NoParams; readonly result: readonly RouteStatus[] };
  /** A question of `twill trace`, `doctor`, `capture` or `bundle` (src/insight), about this node or another one. */
  readonly look: { readonly params: LookCall; readonly result: unknown };
  /** Sets the level of the agent's log when one is given. */
  readonly logLevel: { readonly params: { readonly level?: Level }; readonly result: { readonly level: Level } };
}

export type NoParams = Readonly<Record<string, never>>;
export type Method = keyof Methods;
export type Params<M extends Method> = Methods[M]["params"];
export type Result<M extends Method> = Methods[M]["result"];

export interface LookCall {
  /** Absent: this node. */
  readonly node?: string;
  readonly question: string;
  /** Checked by who answers. */
  readonly params: unknown;
}

export interface CniCall {
  /** CNI_COMMAND, CNI_CONTAINERID… as the runtime set them. */
  readonly variables: Readonly<Record<string, string>>;
  /** The network configuration as it stood on stdin. */
  readonly config: string;
}

/** What the plugin prints, and its exit status. */
export interface CniAnswer {
  readonly status: 0 | 1;
  readonly stdout: string;
}

/** Parameters come from another process: each method checks its own. @throws TwillError `invalid`. */
export const readParams: { readonly [M in Method]: (params: unknown) => Params<M> } = {
  cni: (params) => {
    const { variables, config } = fieldsOf(params);
    if (typeof config !== "string") throw wrong("config is not a text");
    const read: Record<string, string> = {};
    for (const [name, value] of Object.entries(fieldsOf(variables))) {
      if (typeof value !== "string") throw wrong(`${name} is not a text`);
      read[name] = value;
    }
    return { variables: read, config };
  },
  status: () => ({}),
  endpoints: () => ({}),
  routes: () => ({}),
  look: (params) => {
    const { node, question, params: asked = {} } = fieldsOf(params);
    if (typeof question !== "string") throw wrong("question is not a text");
    if (node !== undefined && typeof node !== "string") throw wrong("node is not a text");
    return { question, params: asked, ...(node === undefined ? {} : { node }) };
  },
  logLevel: (params) => {
    const { level } = fieldsOf(params);
    if (level === undefined) return {};
    const known = levels.find((candidate) => candidate === level);
    if (known === undefined) throw wrong("there is no such log level", `use one of ${levels.join(", ")}`);
    return { level: known };
  },
};

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("an object was expected");
  return value as Readonly<Record<string, unknown>>;
}

const wrong = (message: string, remedy?: string): TwillError =>
  new TwillError("invalid", message, { operation: "read parameters", ...(remedy === undefined ? {} : { remedy }) });
