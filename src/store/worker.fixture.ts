/**
 * Another process that uses a datastore, for tests: `bun worker.fixture.ts URL COMMAND JSON`. It prints "ready" once the
 * datastore is open, waits for a line on its standard input, and prints one line for each thing that was acknowledged.
 */
import { writeSync } from "node:fs";
import { isCode } from "../base/errors.ts";
import type { Datastore } from "./datastore.ts";
import { openDatastore } from "./open.ts";

export interface Commands {
  /** Creates, then updates `rounds` times, then deletes every second of `count` objects; values are "NAME ROUND". */
  churn: { readonly kind: string; readonly prefix: string; readonly count: number; readonly rounds: number };
  /** Tries to create each name, in order. Prints the names won. */
  claim: { readonly kind: string; readonly names: readonly string[]; readonly owner: string };
  /** Adds one to the number in an object, by compare-and-swap. */
  count: { readonly kind: string; readonly name: string; readonly times: number };
  /** Creates objects PREFIX-0, PREFIX-1… until it is killed. Prints each name after it was acknowledged. */
  forever: { readonly kind: string; readonly prefix: string; readonly bytes: number };
  /** Creates the object and then only exists. */
  linger: { readonly kind: string; readonly name: string; readonly ttlSeconds: number };
}

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
/** Synchronous, so that a line is out before anything else is done: a kill cannot swallow an acknowledgement. */
const say = (line: string) => writeSync(1, `${line}\n`);

const commands: { readonly [C in keyof Commands]: (store: Datastore, options: Commands[C]) => Promise<void> } = {
  churn: async (store, { kind, prefix, count, rounds }) => {
    for (let index = 0; index < count; index++) {
      const name = `${prefix}-${index}`;
      let { revision } = await store.create(kind, name, encode(`${name} 0`));
      for (let round = 1; round <= rounds; round++) {
        revision = (await store.update(kind, name, encode(`${name} ${round}`), revision)).revision;
      }
      if (index % 2 === 1) await store.delete(kind, name, revision);
    }
  },
  claim: async (store, { kind, names, owner }) => {
    for (const name of names) {
      try {
        await store.create(kind, name, encode(owner));
        say(name);
      } catch (error) {
        if (!isCode(error, "exists")) throw error;
      }
    }
  },
  count: async (store, { kind, name, times }) => {
    for (let done = 0; done < times; ) {
      const object = await store.get(kind, name);
      if (object === undefined) throw new Error(`${name} is gone`);
      try {
        await store.update(kind, name, encode(String(Number(decode(object.value)) + 1)), object.revision);
        done++;
      } catch (error) {
        if (!isCode(error, "conflict")) throw error;
      }
    }
  },
  forever: async (store, { kind, prefix, bytes }) => {
    for (let index = 0; ; index++) {
      await store.create(kind, `${prefix}-${index}`, new Uint8Array(bytes).fill(index & 0xff));
      say(`${prefix}-${index}`);
    }
  },
  linger: async (store, { kind, name, ttlSeconds }) => {
    await store.create(kind, name, encode(name), { ttlSeconds });
    say(name);
    await new Promise(() => {});
  },
};

async function run<C extends keyof Commands>(url: string, command: C, options: Commands[C]): Promise<void> {
  const store = await openDatastore(url);
  say("ready");
  for await (const _ of console) break;
  await commands[command](store, options);
  await store.close();
}

if (import.meta.main) {
  const [url = "", command = "", options = "{}"] = process.argv.slice(2);
  await run(url, command as keyof Commands, JSON.parse(options));
  process.exit(0); // standard input is still open
}
