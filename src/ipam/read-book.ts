import { Database } from "bun:sqlite";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { AttachmentKey } from "../model/attachment-key.ts";

/** An attachment whose ADD is done, with what was written about it. */
export interface StoredAttachment {
  readonly key: AttachmentKey;
  readonly result: string;
}

/**
 * The attachments of all address books in a folder, read without changing anything: for who looks at a node whose agent is
 * dead. A book that cannot be read (another version's) has none.
 */
export function readBooks(folder: string): StoredAttachment[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((name) => name === "addresses.db" || name.endsWith(".network.db"));
  return files.flatMap((file) => readBook(join(folder, file)));
}

function readBook(path: string): StoredAttachment[] {
  try {
    const database = new Database(path, { readonly: true });
    try {
      return database
        .query<{ network: string; container: string; ifname: string; result: string }, []>(
          "SELECT network, container, ifname, result FROM attachment WHERE result IS NOT NULL ORDER BY id",
        )
        .all()
        .map(({ network, container, ifname, result }) => ({
          key: { network, containerId: container, ifname },
          result,
        }));
    } finally {
      database.close();
    }
  } catch {
    return [];
  }
}
