import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { pick, seededRandom } from "../../src/base/random.ts";
import { FaultLab, until } from "./fault-lab.fixture.ts";
import { filterStrictly, inBothFamilies, linkConfigs, podPair, routedConfigs, settled } from "./switch.fixture.ts";
import { losses, Traffic } from "./traffic.fixture.ts";

const nodes = ["node1", "node2", "node3"] as const;
const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);

interface Cluster {
  readonly name: string;
  readonly subnets: number;
  readonly configs: Readonly<Record<string, object>>;
  readonly switches: number;
  readonly pairs: readonly (readonly [string, string])[];
  readonly family?: 6;
}

const near = [
  ["node1/pod-a", "node1/pod-b"],
  ["node1/pod-a", "node2/pod-a"],
  ["node2/pod-a", "node1/pod-a"],
] as const;
const clusters: readonly Cluster[] = [
  {
    name: "on two links",
    subnets: 2,
    configs: routedConfigs,
    switches: 12,
    pairs: [...near, ["node1/pod-a", "node3/pod-a"], ["node3/pod-a", "node2/pod-a"]],
  },
  {
    name: "on one link",
    subnets: 1,
    configs: linkConfigs,
    switches: 8,
    pairs: [...near, ["node3/pod-a", "node2/pod-a"]],
  },
  {
    name: "of IPv6",
    subnets: 2,
    configs: inBothFamilies(routedConfigs),
    switches: 6,
    pairs: [...near, ["node1/pod-a", "node3/pod-a"], ["node3/pod-a", "node2/pod-a"]],
    family: 6,
  },
];

for (const { name, subnets, configs, switches, pairs, family = 4 } of clusters) {
  describe(`a cluster ${name}`, () => {
    let lab: FaultLab;
    beforeAll(async () => {
      lab = await FaultLab.up({ nodes: 3, subnets, pods: 1, config: configs.vxlan });
      await lab.call("addPod", { node: "node1", pod: "pod-b" });
      await filterStrictly(lab, nodes);
    }, 240_000);
    afterAll(() => lab?.[Symbol.asyncDispose]());

    test(`${switches} switches at random moments under load, an agent killed in each: nothing is lost`, async () => {
      const random = seededRandom(seed + subnets);
      const traffic = new Traffic(await Promise.all(pairs.map(([from, to]) => podPair(lab, from, to, family))), {
        fullSize: true,
      });
      const story: string[] = [`TWILL_SEED=${seed}`];
      const tell = (what: string) =>
        story.push(`${Math.round(performance.now())} ${what}, under way ${traffic.pending}`);
      await Bun.sleep(1_000);
      let current = "vxlan";
      for (let count = 0; count < switches; count++) {
        current = pick(
          random,
          Object.keys(configs).filter((other) => other !== current),
        );
        tell(`switch ${count + 1} to ${current}`);
        await lab.storeConfig(configs[current]);
        const victim = pick(random, nodes);
        await Bun.sleep(random.below(2_500));
        tell(`${victim} is killed`);
        await lab.agent(victim, "kill");
        await Bun.sleep(random.below(500));
        await lab.agent(victim, "start");
        // Often the next comes before this one has ended.
        if (random.below(3) === 0) await Bun.sleep(random.below(1_000));
        else await settled(lab, nodes);
        tell("goes on");
      }
      await settled(lab, nodes);
      tell("the end");
      const outcomes = await traffic.stop();
      if (losses(outcomes).length > 0) throw new Error([...story, ...losses(outcomes)].join("\n"));
      // Lengths followed the MTU: what did not change tests nothing.
      for (const { lengths } of outcomes) expect(lengths.length).toBeGreaterThan(1);
      expect(await lab.brokenPaths()).toEqual([]);
      for (const node of nodes) {
        await until(
          async () => (await lab.on(node, "cat /proc/sys/net/ipv4/conf/eth0/rp_filter")) === "1\n",
          "strict again",
        );
        expect((await lab.status(node)).problems).toEqual([]);
      }
    }, 800_000);
  });
}
