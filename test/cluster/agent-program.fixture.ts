import { main } from "../../apps/agent/main.ts";

/** The agent as a process of a test's. */
await main(process.argv.slice(2));
