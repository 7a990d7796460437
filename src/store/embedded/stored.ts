import type { StoredObject, WatchEvent } from "../datastore.ts";
import { revisionText } from "./revision.ts";
import type { HistoryRow, ObjectRow, StoreState } from "./tables.ts";

/** What turns rows into what users see: the file's state, lease time and wall clock of the moment of reading. */
export interface Moment {
  readonly state: StoreState;
  readonly leaseTime: number;
  readonly wallNow: number;
}

export function storedObject(moment: Moment, row: ObjectRow): StoredObject {
  const object = { name: row.name, value: row.value, revision: revisionText(moment.state, row.revision) };
  return row.expires === null ? object : { ...object, expiresAt: moment.wallNow + row.expires - moment.leaseTime };
}

export function watchEvent(moment: Moment, row: HistoryRow): WatchEvent {
  if (row.type === "put" && row.value !== null) {
    return { type: "put", object: storedObject(moment, { ...row, value: row.value }) };
  }
  return {
    type: "delete",
    name: row.name,
    revision: revisionText(moment.state, row.revision),
    expired: row.type === "expire",
  };
}
