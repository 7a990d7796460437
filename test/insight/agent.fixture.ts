/** An agent run from source, with what a test preloads: `bun --preload FILE agent.fixture.ts FLAGS`. */
import { main } from "../../apps/agent/main.ts";

await main(process.argv.slice(2));
