import { expect, test } from "bun:test";
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { FaultLabOptions } from "../faults/fault-lab.fixture.ts";
import { found, Patient, told } from "./doctor.fixture.ts";

/**
 * Clusters of random shape with nothing wrong: the doctor must have nothing to say. As many as fit into the time, 50 with
 * TWILL_LABS=50 whatever it takes.
 */
const wanted = Number(process.env.TWILL_LABS ?? "50");
const budget = process.env.TWILL_LABS === undefined ? 90_000 : Number.POSITIVE_INFINITY;
const atLeast = process.env.TWILL_LABS === undefined ? 5 : wanted;

const pick = <T>(random: Random, list: readonly T[]): T => list[random.below(list.length)] as T;

function shape(random: Random): FaultLabOptions {
  const nodes = 1 + random.below(4);
  const hostGw = random.below(4) === 0;
  const families = pick(random, [
    {},
    {},
    { EnableIPv6: true, IPv6Network: "fd00:244::/56" },
    { EnableIPv4: false, EnableIPv6: true, IPv6Network: "fd00:244::/56" },
  ]);
  const vxlan = {
    Type: "vxlan",
    ...(random.below(2) === 0 ? {} : { DirectRouting: true }),
    ...(random.below(3) === 0 ? { VNI: 1 + random.below(4000) } : {}),
    ...(random.below(3) === 0 ? { Port: pick(random, [4789, 8472, 14789]) } : {}),
    ...(random.below(4) === 0 ? { MTU: 1400 } : {}),
  };
  return {
    nodes,
    subnets: hostGw ? 1 : 1 + random.below(Math.min(nodes, 3)),
    pods: random.below(4),
    config: {
      ...("EnableIPv4" in families ? {} : { Network: pick(random, ["10.244.0.0/16", "10.0.0.0/8", "172.16.0.0/14"]) }),
      ...families,
      ...(random.below(3) === 0 && !("EnableIPv4" in families) ? { SubnetLen: pick(random, [24, 25, 26]) } : {}),
      Backend: hostGw ? { Type: "host-gw" } : vxlan,
    },
    agentFlags: random.below(5) === 0 ? ["--attachment=bridge"] : [],
  };
}

test("healthy clusters of random shape: nothing to say", async () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() % 1e9);
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const started = performance.now();
  let looked = 0;
  while (looked < wanted && performance.now() - started < budget) {
    const options = shape(random);
    await using patient = await Patient.up(options);
    const node = `node${1 + random.below(options.nodes)}`;
    const diagnosis = await patient.doctor(node, "--all");
    const what = `${JSON.stringify(options)}\n${told(diagnosis)}`;
    expect([looked, found(diagnosis), diagnosis.nodes.length, what]).toEqual([looked, [], options.nodes, what]);
    looked++;
  }
  console.log(`${looked} clusters, ${Math.round((performance.now() - started) / 1000)} s`);
  expect(looked).toBeGreaterThanOrEqual(atLeast);
}, 1_800_000);
