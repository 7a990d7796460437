import { requestUnix } from "../../src/kernel/unix-client.ts";

/** Run by unix-socket.test.ts as the process at the other end: sends the first argument's JSON as UnixRequestOptions, prints the answer. */
const [options = "{}", request = ""] = process.argv.slice(2);
const answer = requestUnix(new TextEncoder().encode(request), JSON.parse(options));
console.log(new TextDecoder().decode(answer));
