import { describe, expect, onTestFinished, test } from "bun:test";
import { NftTableKeeper } from "../../../src/apply/nft-table.ts";
import type { Address } from "../../../src/base/address.ts";
import { TwillError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { FakeNft } from "../../../src/kernel/fake-nft.ts";
import { closeFile } from "../../../src/kernel/file.ts";
import { createNetns } from "../../../src/kernel/netns.ts";
import type { Nft, NftOperation } from "../../../src/kernel/nft.ts";
import { openNft } from "../../../src/kernel/nft-socket.ts";
import { type Decision, decisionKey, type PolicyState } from "../../../src/model/policy-state.ts";
import type { NftElement } from "../../../src/objects/nft.ts";
import { hostData } from "../../../src/objects/nft-data.ts";
import { setNames } from "../../../src/render/policy/names.ts";
import { PolicyRendering } from "../../../src/render/policy/policy-rendering.ts";
import { closedInterfaces } from "../../../src/render/policy/program.ts";
import { Quarantine } from "./quarantine.ts";

const options = { established: "keep", deny: "drop", podInterfaces: "twl" } as const;
const at = (text: string) => text as Address;
const decision = (verdict: Decision["verdict"], name: string): Decision => ({
  direction: "ingress",
  verdict,
  log: false,
  reason: { by: "rule", policy: { kind: "NetworkPolicy", namespace: "shop", name }, rule: 0 },
});

/** Two pods, each under a policy of its own: number 1 and 3 deny, 2 and 4 allow. */
const state: PolicyState = {
  addresses: new Map([
    [at("10.0.0.1"), { class: 0, ingress: 5, egress: 0 }],
    [at("10.0.0.2"), { class: 0, ingress: 6, egress: 0 }],
    [at("10.0.1.1"), { class: 2, ingress: 0, egress: 0 }],
  ]),
  networks: [],
  ports: new Map(),
  decisions: new Map([
    [decisionKey(5, 0, 0, 0), 2],
    [decisionKey(5, 2, 0, 0), 1],
    [decisionKey(6, 0, 0, 0), 3],
    [decisionKey(6, 2, 0, 0), 4],
  ]),
  verdicts: new Map([
    [1, decision("deny", "web")],
    [2, decision("allow", "web")],
    [3, decision("deny", "db")],
    [4, decision("allow", "db")],
  ]),
};
const nothing = { addresses: new Map(), ports: new Map(), decisions: new Map(), verdicts: new Map() };

/** The kernel, as if it did not take some elements. */
class Refusing {
  readonly #nft: Nft;
  refuses: (set: string, element: NftElement) => boolean = () => false;
  constructor(nft: Nft) {
    this.#nft = nft;
  }
  get nft(): Nft {
    return new Proxy(this.#nft, {
      get: (nft, name) => {
        if (name === "transaction")
          return (operations: readonly NftOperation[], ...rest: []) => {
            for (const operation of operations) {
              if (operation.op !== "element.add") continue;
              if (operation.elements.some((each) => this.refuses(operation.set.set, each)))
                throw new TwillError("invalid", "Invalid argument", { errno: 22, object: operation.set.set });
            }
            nft.transaction(operations, ...rest);
          };
        const value = Reflect.get(nft, name, nft);
        return typeof value === "function" ? value.bind(nft) : value;
      },
    });
  }
}

const kernels = {
  kernel: (): Nft => {
    const netns = createNetns();
    const nft = openNft({ netns });
    onTestFinished(() => {
      nft.close();
      closeFile(netns);
    });
    return nft;
  },
  fake: (): Nft => new FakeNft(),
};

function scene(nft: Nft, cutsUnknown = closedInterfaces(options) !== undefined) {
  const kernel = new Refusing(nft);
  const keeper = new NftTableKeeper({ nft: kernel.nft, log: silentLog, family: "inet", name: "twill" });
  const rendering = new PolicyRendering(options);
  const quarantine = new Quarantine({
    writer: () => ({
      writePolicy: (wanted, change) =>
        change === undefined ? wanted && keeper.apply(rendering.table(wanted)) : keeper.patch(rendering.change(change)),
      refusedElements: () => keeper.refusedElements(),
    }),
    cutsUnknown,
    nameOf: (address) => `pod at ${address}`,
    log: silentLog,
  });
  const size = (set: string) => nft.elements({ family: "inet", table: "twill", set }).length;
  return { kernel, quarantine, size };
}

describe.each(Object.entries(kernels))("%s", (_, open) => {
  test("a row that is refused denies whom it concerned, by name; the rest is in force; and all of it when it is taken", () => {
    const { kernel, quarantine, size } = scene(open());
    kernel.refuses = (set, { key }) => set === setNames.verdicts && key === hostData(1);
    quarantine.write(state, undefined);
    expect([size("decisions"), size("verdicts"), size("selves4")]).toEqual([2, 3, 2]);
    expect(quarantine.problems).toMatchObject([{ subject: "NetworkPolicy shop/web", reason: "PolicyRefused" }]);
    expect(quarantine.problems[0]?.message).toContain("denied for it: pod at 10.0.0.1; all else is in force");
    kernel.refuses = () => false;
    quarantine.write(state, nothing);
    expect([quarantine.problems, size("decisions"), size("verdicts")]).toEqual([[], 4, 4]);
  });

  test("a change that is refused in part, likewise", () => {
    const { kernel, quarantine, size } = scene(open());
    quarantine.write({ ...state, decisions: new Map(), verdicts: new Map() }, undefined);
    kernel.refuses = (set, { data }) => set === setNames.decisions && data === `00000000${hostData(1)}`;
    quarantine.write(state, { ...nothing, decisions: state.decisions, verdicts: state.verdicts });
    expect([size("decisions"), size("verdicts")]).toEqual([2, 4]);
    expect(quarantine.problems.map(({ subject }) => subject)).toEqual(["NetworkPolicy shop/web"]);
  });

  test("a pod's own row: cut off where that is so, and else nothing is written", () => {
    const { kernel, quarantine, size } = scene(open());
    kernel.refuses = (set) => set === setNames.selves[4];
    quarantine.write(state, undefined);
    // The two pods' rows go; the other node's pod and the one that stands for all others stay.
    expect([size("addresses4"), size("selves4")]).toEqual([2, 0]);
    expect(quarantine.problems.map(({ subject }) => subject)).toEqual(["pod at 10.0.0.1", "pod at 10.0.0.2"]);

    const loose = scene(open(), false);
    loose.kernel.refuses = kernel.refuses;
    expect(() => loose.quarantine.write(state, undefined)).toThrow("Invalid argument");
    expect(loose.quarantine.problems).toEqual([]);
  });

  test("what is refused whatever the rows are, is thrown", () => {
    const { kernel, quarantine } = scene(open());
    kernel.refuses = (set, { key }) => set === setNames.addresses[4] && key === "";
    expect(() => quarantine.write(state, undefined)).toThrow("Invalid argument");
    expect(quarantine.problems).toEqual([]);
  });
});
