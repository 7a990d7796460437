/**
 * Writes to an etcd, through its JSON gateway: `bun bench/etcd-writer.ts URL`, started in the namespace that the URL belongs
 * to. Each line of standard input is a batch, [[key, value | null], …]: null deletes, other values live for 24 hours, as
 * flanneld's leases do. A line comes back when the batch is written.
 */
import { createInterface } from "node:readline";

const base = process.argv[2] ?? "";
const day = 24 * 60 * 60;
/** etcd takes no more operations in one transaction, unless told otherwise. */
const most = 128;

async function call(method: string, body: object): Promise<{ readonly ID?: string }> {
  const response = await fetch(`${base}/v3/${method}`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`etcd: ${method}: ${response.status} ${await response.text()}`);
  return (await response.json()) as { readonly ID?: string };
}

const { ID: lease } = await call("lease/grant", { TTL: String(day) });
for await (const line of createInterface({ input: process.stdin })) {
  const batch = JSON.parse(line) as [key: string, value: string | null][];
  for (let start = 0; start < batch.length; start += most) {
    const success = batch
      .slice(start, start + most)
      .map(([key, value]) =>
        value === null
          ? { request_delete_range: { key: btoa(key) } }
          : { request_put: { key: btoa(key), value: btoa(value), lease } },
      );
    await call("kv/txn", { success });
  }
  process.stdout.write("written\n");
}
