import { Database } from "bun:sqlite";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { parseAddress } from "../../src/base/address.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { pick, type Random } from "../../src/base/random.ts";
import { encodeLease } from "../../src/intent/flannel/lease.ts";
import { openDatastore } from "../../src/store/open.ts";
import { type FaultLab, until } from "./fault-lab.fixture.ts";
import type { PlacedPair } from "./steady-traffic.fixture.ts";

/** Where faults happen. */
export interface Ground {
  readonly lab: FaultLab;
  readonly random: Random;
  /** Those with traffic. */
  readonly nodes: readonly NodeFacts[];
  /** Its state directory is a small disk of its own. */
  readonly smallDisk: string;
  /** A node without traffic, which comes and goes. */
  readonly guest: string;
  readonly config: object;
}

export interface NodeFacts {
  readonly name: string;
  /** Number of its underlay subnet. */
  readonly lan: number;
  readonly address: string;
  readonly subnets: readonly string[];
}

/** One fault at one place. */
export interface Fault {
  readonly what: string;
  /** What no other fault may use meanwhile: names of nodes, and "store". */
  readonly holds: readonly string[];
  /** Whether packets of the pair may be lost between the beginning and the healing. */
  touches(pair: PlacedPair): boolean;
  /** Does the damage, and undoes what does not heal by itself. */
  run(): Promise<void>;
}

type Maker = (ground: Ground) => Fault;

const nobody = (): boolean => false;
const crosses = ({ nodes: [from, to] }: PlacedPair): boolean => from !== to;
/** Of pods of that node, to and from other nodes. */
const crossing = (node: string) => (pair: PlacedPair) => crosses(pair) && pair.nodes.includes(node);
/** Between pods of that node, too. */
const within = (node: string) => (pair: PlacedPair) => pair.nodes.includes(node);

const between = ({ random }: Ground, least: number, most: number): Promise<void> =>
  Bun.sleep(least + random.below(most - least));
const gateway = ({ lan }: NodeFacts): string => `192.168.${lan}.1`;

/** What the node's agent mends by itself. */
function damage(what: string, script: string, touches: typeof crossing = crossing): Maker {
  return (ground) => {
    const { name } = pick(ground.random, ground.nodes);
    return {
      what: `${name}: ${what}`,
      holds: [name],
      touches: touches(name),
      run: async () => void (await ground.lab.on(name, script)),
    };
  };
}

function atNode(
  what: string,
  run: (ground: Ground, node: NodeFacts) => Promise<void>,
  touches: (node: string) => Fault["touches"] = () => nobody,
): Maker {
  return (ground) => {
    const node = pick(ground.random, ground.nodes);
    return {
      what: `${node.name}: ${what}`,
      holds: [node.name],
      touches: touches(node.name),
      run: () => run(ground, node),
    };
  };
}

function atStore(what: string, run: (ground: Ground) => Promise<void>): Maker {
  return (ground) => ({ what, holds: ["store"], touches: nobody, run: () => run(ground) });
}

const firstRoute = "set -- $(ip route show proto 84 | head -1)";
const firstEntry = "set -- $(bridge fdb show dev flannel.1 | grep dst | head -1)";
const firstNeighbour = "set -- $(ip neigh show dev flannel.1 nud permanent | head -1)";
const pod = "$(ip -o link | grep -o 'twl[0-9a-f]*' | head -1)";
/** Down takes IPv6 addresses and all routes away, as on any machine; who put them there puts them back. */
const downAndUp = `
  addresses=$(ip -6 -o addr show dev eth0 scope global | awk '{ print $4 }')
  default4=$(ip -4 route show default); default6=$(ip -6 route show default)
  ip link set eth0 down; sleep 1; ip link set eth0 up
  for address in $addresses; do ip -6 addr add $address dev eth0 nodad; done
  ip -4 route replace $default4; ip -6 route replace $default6`;
/** Its process's number, for a shell whose own command line must not match. */
const agentOf = (node: string): string =>
  `$(ps -eo pid,args | awk '/[t]will-agent .*--node-name ${node} / { print $1; exit }')`;

/** Said to be incomplete after ten rounds where the agent was faster. */
const flush = (...what: string[]): string => what.map((each) => `ip ${each} || true`).join("; ");

const damages: readonly Maker[] = [
  damage("a route deleted", `${firstRoute}; ip route del $1`),
  damage("a route led elsewhere", `${firstRoute}; ip route replace $1 via $(ip route show default | cut -d' ' -f3)`),
  damage("all routes flushed", flush("route flush proto 84", "-6 route flush proto 84")),
  damage("an FDB entry deleted", `${firstEntry}; bridge fdb del $1 dev flannel.1 dst $3`),
  damage(
    "an FDB entry led elsewhere",
    `${firstEntry}; bridge fdb replace $1 dev flannel.1 dst 192.0.2.9 self permanent`,
  ),
  damage("a neighbour deleted", `${firstNeighbour}; ip neigh del $1 dev flannel.1`),
  damage(
    "a neighbour led elsewhere",
    `${firstNeighbour}; ip neigh replace $1 lladdr 02:00:00:00:00:99 dev flannel.1 nud permanent`,
  ),
  damage(
    "neighbours flushed",
    flush("neigh flush dev flannel.1 nud permanent", "-6 neigh flush dev flannel-v6.1 nud permanent"),
  ),
  damage("the tunnel's addresses deleted", flush("-4 addr flush dev flannel.1", "-6 addr flush dev flannel-v6.1")),
  damage("the tunnel's MTU changed", "ip link set flannel.1 mtu 1300"),
  damage("the tunnel's MAC changed", "ip link set flannel.1 address 02:00:00:00:00:42"),
  damage("the tunnel down", "ip link set flannel.1 down; ip link set flannel-v6.1 down"),
  damage("the tunnel renamed", "ip link set flannel.1 down; ip link set flannel.1 name mine"),
  damage("the tunnels deleted", "ip link del flannel.1; ip link del flannel-v6.1"),
  damage("a strict rp_filter", "echo 1 > /proc/sys/net/ipv4/conf/flannel.1/rp_filter"),
  damage(
    "forwarding off",
    "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding",
    within,
  ),
  damage("a pod's device down", `ip link set ${pod} down`, within),
  damage("a pod's route deleted", `ip route del $(ip route show dev ${pod} | head -1 | cut -d' ' -f1)`, within),
  damage("nftables flushed by somebody", "nft flush ruleset || true", () => nobody),
];

const agents: readonly Maker[] = [
  atNode("the agent killed", async (ground, { name }) => {
    await ground.lab.agent(name, "kill");
    await between(ground, 0, 3_000);
    await ground.lab.agent(name, "start");
  }),
  atNode("the agent restarted", ({ lab }, { name }) => lab.agent(name, "restart").then(() => {})),
  atNode("the agent hangs", async (ground, { name }) => {
    await ground.lab.on(name, `kill -STOP ${agentOf(name)}`);
    await between(ground, 500, 6_000);
    await ground.lab.on(name, `kill -CONT ${agentOf(name)}`);
  }),
  atNode("a second agent", async ({ lab }, { name }) => {
    const { status } = await lab.attempt(
      name,
      `timeout 20 twill-agent --datastore ${lab.datastore} --node-name ${name} --iface eth0`,
    );
    if (status !== 1) throw new Error(`a second agent ended with ${status}`);
  }),
  atNode("nonsense on the agent's socket", async ({ lab, random }, { name }) => {
    for (let call = 0; call < 5; call++) {
      const path = lab.disk(name, "run-twill", "agent.sock");
      const socket = await Bun.connect({ unix: path, socket: { data: () => {}, error: () => {} } });
      socket.write(random.bytes(1 + random.below(5_000)));
      await Bun.sleep(20);
      socket.end();
    }
  }),
  atNode("the clock jumps by a day", async (ground, { name }) => {
    const file = ground.lab.disk(name, "run-twill", "clock-offset");
    writeFileSync(file, String(pick(ground.random, [86_400_000, -86_400_000])));
    await between(ground, 500, 3_000);
    // What was started in one time ends in another.
    if (ground.random.below(2) === 0) await ground.lab.agent(name, "restart");
    rmSync(file);
  }),
  atNode("pods come and go", async (ground, { name }) => {
    const { lab } = ground;
    const pods = ["guest-1", "guest-2", "guest-3"];
    await Promise.all(pods.map((each) => lab.call("addPod", { node: name, pod: each })));
    await between(ground, 0, 1_000);
    await Promise.all(pods.map((each) => lab.call("deletePod", { node: name, pod: each })));
  }),
  atNode("pods come and go, and the agent is killed", async (ground, { name }) => {
    const { lab } = ground;
    const pods = ["guest-1", "guest-2", "guest-3"];
    const added = pods.map((each) => lab.call("addPod", { node: name, pod: each }).then(() => each));
    await between(ground, 0, 100);
    await lab.agent(name, "kill");
    // An ADD without an agent is refused, and what it began is taken down; DEL never fails.
    const there = (await Promise.allSettled(added)).flatMap((each) =>
      each.status === "fulfilled" ? [each.value] : [],
    );
    for (const each of there) await lab.call("deletePod", { node: name, pod: each });
    await lab.agent(name, "start");
  }),
  (ground) => ({
    what: `${ground.smallDisk}: the disk is full`,
    holds: [ground.smallDisk],
    touches: nobody,
    run: async () => {
      const { lab, smallDisk, random } = ground;
      await lab.on(
        smallDisk,
        "dd if=/dev/zero of=/var/lib/twill/filler bs=1k 2>/dev/null; df /var/lib/twill | grep -q 100%",
      );
      await between(ground, 500, 3_000);
      if (random.below(2) === 0) {
        await lab.agent(smallDisk, "kill");
        await lab.agent(smallDisk, "start");
      }
      await lab.on(smallDisk, "rm /var/lib/twill/filler");
    },
  }),
];

const underlay: readonly Maker[] = [
  atNode(
    "the cable flaps",
    async ({ lab }, { name }) => {
      for (let flap = 0; flap < 5; flap++) {
        await lab.call("link", { node: name, up: false });
        await Bun.sleep(100);
        await lab.call("link", { node: name, up: true });
        await Bun.sleep(100);
      }
    },
    crossing,
  ),
  atNode(
    "cut off and back",
    async (ground, { name }) => {
      await ground.lab.call("link", { node: name, up: false });
      await between(ground, 2_000, 12_000);
      await ground.lab.call("link", { node: name, up: true });
    },
    crossing,
  ),
  atNode(
    "the underlay's device down and up",
    async ({ lab }, { name }) => void (await lab.on(name, downAndUp)),
    crossing,
  ),
  atNode(
    "another underlay address, and the first again",
    async (ground, node) => {
      const { name, lan, address } = node;
      const other = `192.168.${lan}.${200 + Number(address.split(".")[3])}`;
      const route = `ip route replace default via ${gateway(node)}`;
      await ground.lab.on(name, `ip addr del ${address}/24 dev eth0; ip addr add ${other}/24 dev eth0; ${route}`);
      await between(ground, 2_000, 6_000);
      await ground.lab.on(name, `ip addr del ${other}/24 dev eth0; ip addr add ${address}/24 dev eth0; ${route}`);
    },
    crossing,
  ),
  // Datagrams of the traffic are small: they fit through all of these.
  atNode("the underlay's MTU", async (ground, { name }) => {
    for (const mtu of [1400, 1500]) {
      await ground.lab.on(name, `ip link set eth0 mtu ${mtu}`);
      await between(ground, 500, 3_000);
    }
  }),
  (ground) => {
    const node = pick(ground.random, ground.nodes);
    const thief = ground.nodes.find(({ name, lan }) => lan === node.lan && name !== node.name) ?? node;
    return {
      what: `${thief.name} takes the underlay address of ${node.name}`,
      holds: [node.name, thief.name],
      touches: (pair) => crossing(node.name)(pair) || crossing(thief.name)(pair),
      run: async () => {
        if (thief === node) return;
        const { lab } = ground;
        await lab.on(thief.name, `ip addr add ${node.address}/32 dev eth0`);
        await lab.on("router", "ip neigh flush all");
        await between(ground, 1_000, 4_000);
        await lab.on(thief.name, `ip addr del ${node.address}/32 dev eth0`);
        await lab.on("router", "ip neigh flush all");
      },
    };
  },
  (ground) => {
    const { lab, nodes } = ground;
    const lanOf = (name: string) => nodes.find((node) => node.name === name)?.lan;
    return {
      what: "the router between the subnets forwards nothing",
      holds: ["router"],
      touches: ({ nodes: [from, to] }) => lanOf(from) !== lanOf(to),
      run: async () => {
        await lab.on(
          "router",
          "nft 'add table inet cut; add chain inet cut routed { type filter hook forward priority 0; }'" +
            // Not all: with br_netfilter loaded, what is bridged within a subnet comes here, too.
            "; for way in 'lan1 lan2' 'lan2 lan1'; do set -- $way; nft add rule inet cut routed iifname $1 oifname $2 drop; done",
        );
        await between(ground, 2_000, 10_000);
        await lab.on("router", "nft delete table inet cut");
      },
    };
  },
];

const cluster: readonly Maker[] = [
  atStore("the datastore is away", async (ground) => {
    const { lab, nodes, random } = ground;
    const [folder, away] = [`${lab.directory}/store`, `${lab.directory}/store-away`];
    renameSync(folder, away);
    await between(ground, 1_000, 10_000);
    renameSync(away, folder);
    const { name } = pick(random, nodes);
    await until(async () => (await lab.status(name)).datastore.reachable, `${name} sees the datastore again`);
  }),
  atStore("the datastore is locked", async (ground) => {
    const database = new Database(`${ground.lab.directory}/store/cluster.db`);
    try {
      database.exec("PRAGMA busy_timeout = 10000; BEGIN EXCLUSIVE");
      await between(ground, 1_000, 7_000);
      database.exec("ROLLBACK");
    } finally {
      database.close();
    }
  }),
  atStore("an invalid configuration", async (ground) => {
    await ground.lab.storeConfig('{ "Network": "10.244.0.0" ');
    await between(ground, 500, 4_000);
    await ground.lab.storeConfig(ground.config);
  }),
  (ground) => theft(ground, "aa-thief", crossing),
  // Who comes later by name gets nothing.
  (ground) => theft(ground, "zz-thief", () => nobody),
  atGuest("loses its power", async ({ lab, guest }) => {
    await lab.call("stopNode", { name: guest });
    await Bun.sleep(1_000);
    await lab.call("startNode", { name: guest });
    await lab.call("addPod", { node: guest, pod: "pod-a" });
  }),
  atGuest("leaves for good, and another machine of its name comes", async ({ lab, guest, nodes }) => {
    await lab.call("deleteNode", { name: guest });
    await lab.on(nodes[0]?.name ?? "", `twill delete node ${guest} --datastore ${lab.datastore}`);
    await Bun.sleep(500);
    await lab.call("addNode", { name: guest, pods: 1 });
  }),
];

function atGuest(what: string, run: (ground: Ground) => Promise<void>): Maker {
  return (ground) => ({
    what: `${ground.guest} ${what}`,
    holds: [ground.guest, "store"],
    touches: nobody,
    run: () => run(ground),
  });
}

/** A node that never was claims what another one has. */
function theft(ground: Ground, thief: string, touches: (node: string) => Fault["touches"]): Fault {
  const node = pick(ground.random, ground.nodes);
  return {
    what: `${thief} claims the subnets of ${node.name}`,
    holds: [node.name, "store"],
    touches: touches(node.name),
    run: async () => {
      const store = await openDatastore(ground.lab.datastore);
      try {
        const own = (await ground.lab.leases()).find((lease) => lease.node === node.name);
        if (own === undefined) throw new Error(`${node.name} has no lease`);
        const value = encodeLease({
          ...own,
          node: thief,
          id: "a-thief",
          subnets: node.subnets.map(parsePrefix),
          addresses: [parseAddress(`192.168.${node.lan}.199`)],
        });
        await store.create("nodes", thief, value);
        await between(ground, 500, 3_000);
        await store.delete("nodes", thief);
      } finally {
        await store.close();
      }
    },
  };
}

export const faultKinds: readonly Maker[] = [...damages, ...agents, ...underlay, ...cluster];
