import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeLease, encodeLease } from "../src/intent/flannel/lease.ts";
import { decodeSwitchTarget } from "../src/intent/flannel/switch-target.ts";
import type { Rtnl } from "../src/kernel/rtnl.ts";
import { openRtnl } from "../src/kernel/rtnl-socket.ts";
import type { Standing } from "../src/model/live-switch.ts";
import type { Lease } from "../src/model/network.ts";
import type { Datastore } from "../src/store/datastore.ts";
import { openDatastore } from "../src/store/open.ts";
import { AgentNode } from "./agent-node.ts";
import { leaseOf, nameOf, networkOfPeers } from "./peer.ts";
import type { Figure } from "./report.ts";
import type { Bench } from "./run.ts";

const sizes = [1_000, 5_000];
const ownName = "node-0";
const vnis = { before: 1, after: 7 };
/** The first start's own work: memory given back, first looks. Milliseconds. */
const settledAfter = 8_000;
/** For what is under way, before the old configuration goes (docs/design/live-switch.md). Milliseconds. */
const underWay = 1_000;

/** One node's part in a change of the whole cluster, step by step. */
export async function benchSwitch({ programs, folder, progress }: Bench): Promise<Figure[]> {
  const rows: Figure[] = [];
  for (const peers of sizes) {
    const own = join(folder, String(peers));
    mkdirSync(own);
    const node = new AgentNode(programs, own, networkOfPeers);
    // Or the kernel says that nobody is there, and nobody is waited for.
    node.netns.run("ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev eth0 nud permanent");
    const store = await openDatastore(node.datastore);
    const rtnl = openRtnl({ netns: node.netns.fd });
    try {
      progress(`${peers} peers: writing their leases`);
      await Promise.all(Array.from({ length: peers }, (_, peer) => store.create("nodes", nameOf(peer), leaseOf(peer))));
      await node.start();
      for (const [what, value, reached] of await change(node, { store, rtnl, peers, progress }))
        rows.push({ what: `${peers} peers: ${what}`, value, ...(reached === undefined ? {} : { reached }) });
      await node.stop();
    } finally {
      rtnl.close();
      await store.close();
      node.close();
    }
  }
  return rows;
}

interface Scene {
  readonly store: Datastore;
  readonly rtnl: Rtnl;
  readonly peers: number;
  progress(text: string): void;
}
type Finding = readonly [what: string, value: string, reached?: boolean];

async function change(node: AgentNode, { store, rtnl, peers, progress }: Scene): Promise<Finding[]> {
  const findings: Finding[] = [];
  const step = async (what: string, begin: () => Promise<void>, isDone: (own: Lease) => boolean, least = 0) => {
    progress(`${peers} peers: ${what}`);
    const [processor, writes] = [node.processorInAll(), total(node)];
    await begin();
    const begun = performance.now();
    const deadline = begun + 120_000;
    while (!isDone(await leaseIn(store, ownName))) {
      node.check();
      if (performance.now() > deadline) throw new Error(`${what}: not so after two minutes`);
      await Bun.sleep(1);
    }
    const elapsed = performance.now() - begun;
    // What is still to be cleared away belongs to the step.
    await Bun.sleep(underWay);
    const spent = node.processorInAll() - processor;
    const waited = least === 0 ? "" : `, ${least / 1000} s of it waiting`;
    if (isDone !== atOnce) findings.push([`${what}, until it is said`, `${elapsed.toFixed(0)} ms${waited}`]);
    findings.push([`${what}: processor time and kernel writes`, `${spent.toFixed(0)} ms, ${total(node) - writes}`]);
  };

  const first = (await target(store)).id;
  const offer = (id: string, vni: number, lease: Lease) => {
    const data = lease.backendData[4] as { readonly VtepMAC: string };
    return { id, backendType: "vxlan", backendData: { 4: { ...data, VNI: vni } } };
  };
  const publish = (standing: (lease: Lease) => Standing) => rewrite(store, peers, standing);
  await publish((lease) => ({ epoch: 1, offers: [offer(first, vnis.before, lease)], sends: first }));
  await Bun.sleep(settledAfter);

  const networkAfter = { ...networkOfPeers, Backend: { Type: "vxlan", VNI: vnis.after } };
  const edit = async () => writeFileSync(join(node.folder, "net-conf.json"), JSON.stringify(networkAfter));
  await step("a new configuration: it is offered", edit, ({ standing }) => standing?.epoch === 2);
  const { id } = await target(store);
  const both = (lease: Lease) => [offer(first, vnis.before, lease), offer(id, vnis.after, lease)];
  await step(
    "all accept it: routes lead by it",
    () => publish((lease) => ({ epoch: 2, offers: both(lease), sends: first })),
    ({ standing }) => standing?.sends === id,
  );
  const routes = rtnl.routes({ device: rtnl.link(`flannel.${vnis.after}`)?.index ?? 0 });
  const tunnelled = routes.filter(({ gateway }) => gateway !== undefined).length;
  findings.push(["routes by the new tunnel then", String(tunnelled), tunnelled === peers]);
  await step(
    "all send by it: the old one is dropped",
    () => publish((lease) => ({ epoch: 2, offers: both(lease), sends: id })),
    ({ standing }) => standing?.offers.length === 1,
    underWay,
  );
  findings.push(["the old tunnel is gone", "yes", rtnl.link(`flannel.${vnis.before}`) === undefined]);
  await step(
    "all have dropped it: nothing is left to do",
    () => publish((lease) => ({ epoch: 2, offers: [offer(id, vnis.after, lease)], sends: id })),
    atOnce,
  );
  return findings;
}

/** The agent has nothing to say to that. */
const atOnce = () => true;

async function leaseIn(store: Datastore, name: string): Promise<Lease> {
  const stored = await store.get("nodes", name);
  if (stored === undefined) throw new Error(`${name} has no lease`);
  return decodeLease(stored.value);
}

async function target(store: Datastore) {
  const stored = await store.get("switch", "target");
  if (stored === undefined) throw new Error("there is no target");
  return decodeSwitchTarget(stored.value, { allowExtension: false });
}

/** What each of the peers would publish. */
async function rewrite(store: Datastore, peers: number, standing: (lease: Lease) => Standing): Promise<void> {
  const { objects } = await store.list("nodes");
  const others = objects.filter(({ name }) => name !== ownName);
  if (others.length !== peers) throw new Error(`${others.length} peers`);
  await Promise.all(
    others.map(({ name, value, revision }) => {
      const lease = decodeLease(value);
      return store.update("nodes", name, encodeLease({ ...lease, standing: standing(lease) }), revision);
    }),
  );
}

const total = (node: AgentNode): number => Object.values(node.kernelWrites()).reduce((sum, count) => sum + count, 0);
