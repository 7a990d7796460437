/** Where things are unless a flag says otherwise. Shared by the agent and the CLI. */
/** TWILL_DATASTORE: in a shell that works on one cluster all day, and in the lab. */
export const defaultDatastore = process.env.TWILL_DATASTORE || "embedded:/var/lib/twill-store/cluster.db";
export const defaultRunDir = "/run/twill";
export const defaultStateDir = "/var/lib/twill";
export const defaultSubnetFile = "/run/flannel/subnet.env";
export const defaultCniConfDir = "/etc/cni/net.d";
export const defaultCniBinDir = "/opt/cni/bin";

export const agentSocket = (runDir: string): string => `${runDir}/agent.sock`;
