import { inNetns } from "../src/kernel/netns.ts";

/** What runs in every pod: a web server that says who it is and whom it sees. */
export const podAppPort = 8080;

/** The socket is made inside the pod's namespace and stays there; the lab's own process answers, so a pod costs no process. */
export function servePod(name: string, netns: number): { stop(): Promise<void> } {
  const server = inNetns(netns, () =>
    Bun.serve({
      hostname: "::",
      port: podAppPort,
      fetch: (request, self) =>
        new Response(`I am ${name}; I see you as ${self.requestIP(request)?.address ?? "nobody"}\n`),
    }),
  );
  return { stop: () => server.stop(true) };
}
