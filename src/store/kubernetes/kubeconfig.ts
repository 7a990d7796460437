import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { describeError, TwillError } from "../../base/errors.ts";
import type { ClusterAccess } from "./access.ts";
import { anonymous, type Credentials, materialCredentials } from "./credentials.ts";
import { type ExecPlugin, execApiVersions, execCredentials } from "./exec-credentials.ts";
import { file, given, type Material } from "./material.ts";
import { isRecord } from "./object.ts";

type Fields = Readonly<Record<string, unknown>>;

/**
 * One context of a kubeconfig file (k8s.io/client-go clientcmd/api/v1). `context`: absent for its current-context.
 * @throws TwillError `unavailable` when the file cannot be read, `invalid` for what it says, `unsupported` for ways to
 * authenticate that Kubernetes itself has removed, and for impersonation.
 */
export function readKubeconfig(path: string, clock: Clock, context?: string): ClusterAccess {
  const reader = new Kubeconfig(path);
  return reader.access(clock, context);
}

class Kubeconfig {
  readonly #path: string;
  readonly #root: Fields;

  constructor(path: string) {
    this.#path = path;
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (cause) {
      throw new TwillError("unavailable", describeError(cause), {
        operation: "read kubeconfig",
        object: path,
        remedy: "give the path of a kubeconfig that this process may read",
      });
    }
    let root: unknown;
    try {
      root = Bun.YAML.parse(text);
    } catch (cause) {
      throw this.#wrong(`is not YAML: ${describeError(cause)}`);
    }
    if (!isRecord(root)) throw this.#wrong("is not a kubeconfig");
    this.#root = root;
  }

  access(clock: Clock, wanted: string | undefined): ClusterAccess {
    const name = wanted ?? this.#text(this.#root, "current-context");
    if (name === undefined) throw this.#wrong("has no current-context", "choose a context");
    const context = this.#named("contexts", name, "context");
    const clusterName = this.#text(context, "cluster");
    if (clusterName === undefined) throw this.#wrong(`has no cluster in the context "${name}"`);
    const cluster = this.#named("clusters", clusterName, "cluster");
    const userName = this.#text(context, "user");
    const user = userName === undefined ? {} : this.#named("users", userName, "user");

    const server = this.#text(cluster, "server");
    if (server === undefined) throw this.#wrong(`has no server in the cluster "${clusterName}"`);
    const authority = this.#material(cluster, "certificate-authority", "certificate authority");
    const tlsServerName = this.#text(cluster, "tls-server-name");
    const proxy = this.#text(cluster, "proxy-url");
    const namespace = this.#text(context, "namespace");
    return {
      server: checkServer(server, this.#path),
      ...(authority && { authority }),
      ...(tlsServerName && { tlsServerName }),
      insecure: cluster["insecure-skip-tls-verify"] === true,
      ...(proxy && { proxy }),
      ...(namespace && { namespace }),
      credentials: this.#credentials(user, cluster, clock),
      source: `the kubeconfig ${this.#path}`,
    };
  }

  #credentials(user: Fields, cluster: Fields, clock: Clock): Credentials {
    const removed = ["username", "password", "auth-provider", "as", "as-uid", "as-groups", "as-user-extra"];
    const found = removed.find((field) => user[field] !== undefined);
    if (found !== undefined) {
      throw new TwillError("unsupported", `"${found}" is no way to authenticate that Twill knows`, {
        operation: "read kubeconfig",
        object: this.#path,
        remedy: "use a client certificate, a token, tokenFile or exec",
      });
    }
    if (user.exec !== undefined) return execCredentials(this.#plugin(user.exec, cluster), clock);
    const certificate = this.#material(user, "client-certificate", "client certificate");
    const key = this.#material(user, "client-key", "key of the client certificate");
    if ((certificate === undefined) !== (key === undefined)) {
      throw this.#wrong("has only one of client-certificate and client-key");
    }
    const tokenFile = this.#text(user, "tokenFile");
    const inline = this.#text(user, "token");
    // As in client-go: the file wins, for it is the one that is kept fresh.
    const token =
      tokenFile !== undefined
        ? file(this.#resolve(tokenFile), "token")
        : inline === undefined
          ? undefined
          : given(inline);
    return certificate === undefined && token === undefined
      ? anonymous
      : materialCredentials({ token, certificate, key });
  }

  #plugin(exec: unknown, cluster: Fields): ExecPlugin {
    if (!isRecord(exec)) throw this.#wrong("has an exec that is not an object");
    const command = this.#text(exec, "command");
    const apiVersion = this.#text(exec, "apiVersion") ?? "";
    if (command === undefined) throw this.#wrong("has an exec without a command");
    if (!execApiVersions.includes(apiVersion)) {
      throw this.#wrong(`has an exec of apiVersion "${apiVersion}"`, `use ${execApiVersions.join(" or ")}`);
    }
    if (exec.interactiveMode === "Always") {
      throw this.#wrong(`has an exec command that must talk to a person (${command})`, "use credentials for programs");
    }
    const env = this.#list(exec, "env").filter(isRecord);
    const installHint = this.#text(exec, "installHint");
    return {
      apiVersion,
      command,
      args: this.#list(exec, "args").map(String),
      env: Object.fromEntries(env.map(({ name, value }) => [String(name), String(value)])),
      ...(installHint && { installHint }),
      ...(exec.provideClusterInfo === true && { cluster }),
      directory: dirname(this.#path),
    };
  }

  /** FIELD-data in base64, or FIELD as the path of a file. */
  #material(fields: Fields, field: string, what: string): Material | undefined {
    const data = this.#text(fields, `${field}-data`);
    if (data !== undefined) return given(Buffer.from(data, "base64").toString("utf8"));
    const path = this.#text(fields, field);
    return path === undefined ? undefined : file(this.#resolve(path), what);
  }

  #resolve(path: string): string {
    return isAbsolute(path) ? path : join(dirname(this.#path), path);
  }

  /** The entry of one of the lists of {name, WHAT}. */
  #named(list: string, name: string, what: string): Fields {
    const entries = this.#list(this.#root, list).filter(isRecord);
    const entry = entries.find((each) => each.name === name);
    if (entry === undefined) {
      const known = entries.map((each) => `"${String(each.name)}"`).join(", ");
      throw this.#wrong(`has no ${what} "${name}"`, known === "" ? `add one` : `it has ${known}`);
    }
    const value = entry[what];
    if (value === undefined || value === null) return {};
    if (!isRecord(value)) throw this.#wrong(`has a ${what} "${name}" that is not an object`);
    return value;
  }

  #text(fields: Fields, field: string): string | undefined {
    const value = fields[field];
    if (value === undefined || value === null || value === "") return undefined;
    if (typeof value !== "string") throw this.#wrong(`has a "${field}" that is not a text`);
    return value;
  }

  #list(fields: Fields, field: string): readonly unknown[] {
    const value = fields[field];
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) throw this.#wrong(`has "${field}" that is not a list`);
    return value;
  }

  #wrong(message: string, remedy?: string): TwillError {
    return new TwillError("invalid", message, {
      operation: "read kubeconfig",
      object: this.#path,
      ...(remedy && { remedy }),
    });
  }
}

/** @throws TwillError `invalid` unless it is an http or https URL. @returns it without a slash at its end. */
export function checkServer(server: string, source: string): string {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "") {
    throw new TwillError("invalid", `"${server}" is not the address of an API server`, {
      operation: "read",
      object: source,
      remedy: "write https://ADDRESS:PORT",
    });
  }
  return url.href.replace(/\/+$/, "");
}
