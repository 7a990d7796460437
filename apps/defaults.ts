/** Where things are unless a flag says otherwise. Shared by the agent and the CLI. */
export const defaultDatastore = "embedded:/var/lib/twill-store/cluster.db";
export const defaultRunDir = "/run/twill";
export const defaultStateDir = "/var/lib/twill";
export const defaultSubnetFile = "/run/flannel/subnet.env";
export const defaultCniConfDir = "/etc/cni/net.d";
export const defaultCniBinDir = "/opt/cni/bin";

export const agentSocket = (runDir: string): string => `${runDir}/agent.sock`;
