import { main as cniPlugin } from "./cni/main.ts";

/**
 * One executable, several names. The plugin is one process per pod, so its path loads next to nothing: it alone is part of
 * the first chunk, and everything else is imported only when its name is called.
 */
async function main(): Promise<void> {
  const name = process.argv0.slice(process.argv0.lastIndexOf("/") + 1);
  if (name === "twill-cni") return cniPlugin();
  Bun.unsafe.setJITPolicy(1);
  switch (name) {
    case "twill-agent": {
      const { main } = await import("./agent/main.ts");
      return await main(process.argv.slice(2));
    }
    default: {
      const { main } = await import("./cli/main.ts");
      return await main(process.argv.slice(2), name === "kubectl-twill" ? "kubectl twill" : "twill");
    }
  }
}

void main();
