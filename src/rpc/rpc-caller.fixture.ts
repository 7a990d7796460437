import { closeFile, O_RDONLY, openFile } from "../kernel/file.ts";
import { requestUnix } from "../kernel/unix-client.ts";
import { callAgent } from "./client.ts";
import { decodeAnswer } from "./message.ts";
import type { Method } from "./methods.ts";

/** `bun rpc-caller.fixture.ts SOCKET METHOD PARAMS [RAW]`: one call, its own file as the descriptor; prints what came back. */
const [path = "", method = "", params = "{}", raw = ""] = process.argv.slice(2);
const timeout = 5000;

function ask(): unknown {
  if (raw !== "") return decodeAnswer(requestUnix(new TextEncoder().encode(raw), { path, timeout }));
  const descriptors = method === "cni" ? [openFile(import.meta.path, O_RDONLY)] : [];
  const result: unknown = callAgent(method as Method, JSON.parse(params), { path, timeout, descriptors });
  for (const descriptor of descriptors) closeFile(descriptor);
  return result;
}

try {
  console.log(JSON.stringify({ result: ask() }));
} catch (error) {
  const { code, message, operation, object, remedy } = error as Record<string, unknown>;
  console.log(JSON.stringify({ error: { code, message, operation, object, remedy } }));
}
