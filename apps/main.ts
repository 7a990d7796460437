import { basename } from "node:path";

/**
 * One executable, several names. The plugin is one process per pod, so its path loads next to nothing; everything else
 * is imported only when its name is called.
 */
async function main(): Promise<void> {
  switch (basename(process.argv0)) {
    case "twill-cni": {
      const { main } = await import("./cni/main.ts");
      return main();
    }
    case "twill-agent": {
      const { main } = await import("./agent/main.ts");
      return await main(process.argv.slice(2));
    }
    default: {
      const { main } = await import("./cli/main.ts");
      return await main(process.argv.slice(2));
    }
  }
}

void main();
