import { afterAll, beforeAll, expect, test } from "bun:test";
import { NftTableKeeper } from "../../src/apply/nft-table.ts";
import { type Address, parseAddress } from "../../src/base/address.ts";
import { silentLog } from "../../src/base/log.ts";
import { contains, parsePrefix } from "../../src/base/prefix.ts";
import type { NftTableContent } from "../../src/objects/nft.ts";
import { BareCluster } from "../conformance/rig/bare-cluster.ts";
import { Traffic, type TriedFlow } from "../conformance/rig/traffic.ts";
import { describeFailure, generateCase } from "./case.ts";
import { compileCluster } from "./compiled.ts";
import { evaluate } from "./evaluate.ts";
import { type Flow, flowText, type Party } from "./flow.ts";
import type { ClusterObjects } from "./objects.ts";
import { droppedBy, renderCluster, rulesetsOf } from "./rendered.ts";

/** Clusters to try; TWILL_KERNEL_CASES for more. TWILL_SEED repeats one. */
const cases = Number(process.env.TWILL_KERNEL_CASES ?? 95);
const flowsEach = 60;
/** A random cluster has at most nine pods, which may all be on one node. */
const podsEach = 9;

let cluster: BareCluster;
let traffic: Traffic;
let keepers: ReadonlyMap<string, NftTableKeeper>;

beforeAll(() => {
  cluster = new BareCluster(podsEach);
  traffic = new Traffic(cluster);
  keepers = new Map(
    cluster.nodes.map(({ name, nft }) => [
      name,
      new NftTableKeeper({ nft, log: silentLog, family: "inet", name: "twill" }),
    ]),
  );
}, 60_000);

afterAll(() => {
  traffic.close();
  cluster.close();
});

test("real packets arrive exactly where the oracle allows them, and the interpreter knows which", () => {
  const only = process.env.TWILL_SEED;
  const first = only === undefined ? Date.now() % 1e9 : Number(only);
  const count = only === undefined ? cases : 1;
  let [sent, denied] = [0, 0];
  for (let seed = first; seed < first + count; seed++) {
    const { cluster: objects, flows } = generateCase(seed, flowsEach);
    const tried = withoutEchoes(flows.filter(isDeliverable));
    load(renderCluster(compileCluster(objects)));
    const allowed = tried.map((flow) => evaluate(objects, flow).verdict === "allow");
    const arrived = traffic.send(tried.map(asTried), allowed.filter(Boolean).length);
    const rulesets = rulesetsOf(readTables());
    for (const [index, flow] of tried.entries()) {
      const model = droppedBy(rulesets, objects, flow);
      if (arrived[index] !== (model === undefined))
        throw new Error(
          `seed ${seed}: ${flowText(flow)}: ${model ?? "passes"} in the interpreter, ${arrived[index] ? "arrived" : "lost"} in the kernel`,
        );
      if (arrived[index] !== allowed[index]) throw new Error(describeFailure(seed, objects, flow, checkKernel));
    }
    sent += tried.length;
    denied += allowed.filter((one) => !one).length;
  }
  console.log(`seeds ${first} to ${first + count - 1}: ${sent} real packets, ${denied} denied`);
  expect(denied).toBeGreaterThan(sent / 20);
  if (only === undefined && process.env.TWILL_KERNEL_CASES === undefined) expect(sent).toBeGreaterThan(5_000);
}, 3_600_000);

/** For shrinking: everything anew, one packet. */
function checkKernel(
  objects: ClusterObjects,
  flow: Flow,
  { verdict }: ReturnType<typeof evaluate>,
): string | undefined {
  load(renderCluster(compileCluster(objects)));
  const [arrived] = traffic.send([asTried(flow)], verdict === "allow" ? 1 : 0);
  return arrived === (verdict === "allow") ? undefined : arrived ? "arrived" : "lost";
}

function load(tables: ReadonlyMap<string, NftTableContent>): void {
  const empty: NftTableContent = { table: { family: "inet", name: "twill" }, chains: [], rules: [], sets: [] };
  for (const [name, keeper] of keepers) keeper.apply(tables.get(name) ?? empty);
  cluster.forgetConnections();
}

const readTables = () =>
  new Map(
    cluster.nodes.flatMap(({ name, nft }) => {
      const content = nft.read("inet", "twill");
      return content === undefined ? [] : [[name, content] as const];
    }),
  );

const asTried = ({ from, to, protocol, port }: Flow): TriedFlow => ({
  source: from.address,
  destination: to.address,
  protocol,
  destinationPort: port,
});

/** Addresses that no machine of the rig can have: special ones, and pods' that were never attached. */
const special = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/16", "fe80::/10", "ff00::/8"];
const inCluster = ["10.244.0.0/16", "192.168.50.0/24", "203.0.113.0/24", "fd00:10:244::/48", "fd00:192:168:50::/64"];
const within = (networks: readonly string[], address: Address): boolean =>
  networks.some((network) => contains(parsePrefix(network), address));

const isDeliverable = ({ from, to }: Flow): boolean => hasOwner(from) && hasOwner(to);

function hasOwner(party: Party): boolean {
  const { address } = party;
  // The rig's nodes have one each, whether the cluster's Node objects say so or not.
  if ("outside" in party && within(["203.0.113.0/24"], address)) return false;
  if (within(special, address)) return false;
  if (within(inCluster, address)) return cluster.owner(address) !== cluster.outside;
  // The rig's own addresses of the outside.
  return address !== parseAddress("192.168.50.254");
}

/** GRE has no ports, so that a packet the other way would be an answer. */
function withoutEchoes(flows: readonly Flow[]): Flow[] {
  const seen = new Set<string>();
  return flows.filter(({ protocol, from, to }) => {
    if (protocol !== "GRE") return true;
    seen.add(`${from.address} ${to.address}`);
    return !seen.has(`${to.address} ${from.address}`);
  });
}
