import { readFileSync } from "node:fs";
import type { Credentials } from "./credentials.ts";

/** What the lab itself asks the API server, as administrator: is it there, are the nodes ready. */
export class AdminClient {
  readonly #server: string;
  readonly #tls: { readonly ca: string; readonly cert: string; readonly key: string };

  constructor({ server, authority, admin }: Credentials) {
    const text = (path: string) => readFileSync(path, "utf8");
    this.#server = server;
    this.#tls = { ca: text(authority.certificate), cert: text(admin.certificate), key: text(admin.key) };
  }

  /** undefined: no answer, or another than 200. */
  async get(path: string): Promise<string | undefined> {
    try {
      const answer = await fetch(`${this.#server}${path}`, { tls: this.#tls, signal: AbortSignal.timeout(5000) });
      const body = await answer.text();
      return answer.ok ? body : undefined;
    } catch {
      return undefined;
    }
  }

  /** Names of the registered nodes, and whether each is Ready. */
  async nodes(): Promise<ReadonlyMap<string, boolean>> {
    const list = JSON.parse((await this.get("/api/v1/nodes")) ?? '{"items":[]}') as NodeList;
    return new Map(
      list.items.map(({ metadata, status }) => [
        metadata.name,
        (status.conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True"),
      ]),
    );
  }
}

interface NodeList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}
