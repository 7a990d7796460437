import { inNetns } from "../src/kernel/netns.ts";

/** What runs in every pod: a web server that says who it is and whom it sees. */
export const podAppPort = 8080;

/** The socket is made inside the pod's namespace and stays there; the lab's own process answers, so a pod costs no process. */
export function servePod(name: string, netns: number): { stop(): Promise<void> } {
  const listen = (hostname: string) =>
    Bun.serve({
      hostname,
      port: podAppPort,
      fetch: (request, self) => new Response(`I am ${name}; I see you as ${plain(self.requestIP(request)?.address)}\n`),
    });
  const server = inNetns(netns, () => {
    try {
      return listen("::"); // and IPv4 with it, as IPv4-mapped addresses (RFC 4291 section 2.5.5.2)
    } catch {
      return listen("0.0.0.0"); // a kernel without IPv6
    }
  });
  return { stop: () => server.stop(true) };
}

const plain = (address = "nobody"): string => address.replace(/^::ffff:(?=.*\.)/, "");
