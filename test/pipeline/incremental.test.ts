import { expect, test } from "bun:test";
import { node, picture } from "../../src/apply/reconciler.fixture.ts";
import { dualStack, macOf, onlyFamily } from "../../src/backend/backend.contract.ts";
import { parsePrefix } from "../../src/base/prefix.ts";
import { pick, seededRandom } from "../../src/base/random.ts";
import { config, hostileLease, local, network, peer } from "../../src/compile/compile.fixture.ts";
import { Compiler } from "../../src/compile/compiler.ts";
import type { CompileInput } from "../../src/compile/own-state.ts";
import type { Lease } from "../../src/model/network.ts";
import { render } from "../../src/render/render.ts";

const inputs: readonly CompileInput[] = [
  { network, local },
  { network, local: { ...local, subnets: [parsePrefix("10.244.7.0/24"), parsePrefix("fd00:10:244:7::/64")] } },
  { network, local: { ...local, macs: { ...local.macs, "flannel.1": macOf(3) } } },
  { network: onlyFamily(network, 4), local },
  { network: dualStack({ ...config, directRouting: true }), local },
  { network: dualStack({ type: "host-gw" }), local },
];

/** A node's way from leases to the kernel, as the agent goes it. */
function pipeline(leases: ReadonlyMap<string, Lease>) {
  const subject = node();
  const compiler = new Compiler({ get: (name) => leases.get(name), objects: () => leases });
  const update = (input: CompileInput) => {
    const { change } = compiler.update(input);
    subject.reconciler.setDesired(render(change));
    return subject.settleWithoutNews();
  };
  return { subject, compiler, update };
}

test("property: after any sequence of small changes the kernel is as after one compile of everything", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = seededRandom(seed);
    const leases = new Map<string, Lease>();
    const { subject, compiler, update } = pipeline(leases);
    let input = pick(random, inputs);
    update(input);
    for (let step = 1; step <= 30; step++) {
      if (random.below(8) === 0) input = pick(random, inputs);
      for (let count = random.below(4); count > 0; count--) {
        const name = `node-${random.below(20)}`;
        if (random.below(3) === 0) leases.delete(name);
        else leases.set(name, hostileLease(random, name));
        compiler.mark(name);
      }
      const report = update(input);
      if (step % 10 !== 0) continue;
      const fresh = pipeline(leases);
      const whole = fresh.update(input);
      expect({ seed, step, picture: picture(subject) }).toEqual({ seed, step, picture: picture(fresh.subject) });
      expect({ seed, step, problems: report.problems }).toEqual({ seed, step, problems: whole.problems });
    }
  }
}, 180_000);

test("a subnet that goes from one node to another, in either order of news, never leaves the kernel without its route", () => {
  for (const [from, to] of [
    ["node-001", "node-002"],
    ["node-002", "node-001"],
  ] as const) {
    const leases = new Map<string, Lease>([[from, peer(1, { node: from })]]);
    const { subject, compiler, update } = pipeline(leases);
    update({ network, local });
    subject.tap.take();
    leases.delete(from);
    leases.set(to, peer(2, { node: to, subnets: peer(1).subnets }));
    for (const name of leases.has("node-001") ? [to, from] : [from, to]) compiler.mark(name);
    const { change } = compiler.update({ network, local });
    subject.reconciler.setDesired(render(change));
    subject.reconciler.flush();
    const lost = subject.tap.take().filter((event) => event.type === "route" && event.change === "delete");
    expect(lost).toEqual([]);
    expect(subject.netns.rtnl.neighbours().filter(({ mac }) => mac === macOf(2)).length).toBe(2);
  }
});
