import { expect, test } from "bun:test";
import { familyOf } from "../../src/base/address.ts";
import { addressesBetween, findEnd } from "../../src/insight/policy/end.ts";
import { explain } from "../../src/insight/policy/explain.ts";
import { parseTarget, resolvePort } from "../../src/insight/policy/target.ts";
import { explainText } from "./explain-text.ts";
import { heldText } from "./held-text.ts";
import { sceneModel, withFile } from "./policy-scene.fixture.ts";
import { paint } from "./status-text.ts";

function explained(from: string, to: string, model = sceneModel()) {
  const target = parseTarget(to);
  const ends = [findEnd(model, from), findEnd(model, target.host)] as const;
  const [source, destination] = addressesBetween(...ends);
  return explain(model, ends, { source, destination, ...resolvePort(target, ends[1], familyOf(destination)) });
}
const text = (...words: Parameters<typeof explained>): string => `\n${explainText(explained(...words), paint(false))}`;

test("denied: the verdict, the closest rule, then all that stands behind it", () => {
  expect(text("cart-0", "db/postgres-0:sql")).toBe(`
shop/cart-0 (10.244.2.6, node2) → db/postgres-0 (10.244.2.7, node2), TCP 5432
denied on the way in to db/postgres-0: NetworkPolicy db/allow-web (scene.yaml line 41) and 1 more isolate it, and no rule of theirs matches
closest: NetworkPolicy db/allow-web rule 1 (scene.yaml line 47), but sender: its label app is cart, not web

out of shop/cart-0: allowed, no policy selects shop/cart-0 for egress

into db/postgres-0: denied
  came close to letting it pass:
    NetworkPolicy db/allow-web rule 1 (scene.yaml line 47)
      - sender: its label app is cart, not web
    NetworkPolicy db/allow-web rule 2 (scene.yaml line 51)
      - sender: its address is not in 192.168.0.0/16
  policies that select it, in order:
    NetworkPolicy db/allow-web (scene.yaml line 41)
    NetworkPolicy db/default-deny (scene.yaml line 34)
`);
});

test("allowed: by which rule", () => {
  expect(text("shop/web-7d9f8c6b5-aaaaa", "10.244.2.7:5432")).toStartWith(`
shop/web-7d9f8c6b5-aaaaa (10.244.1.5, node1) → db/postgres-0 (10.244.2.7, node2), TCP 5432
allowed by NetworkPolicy db/allow-web rule 1 (scene.yaml line 47)
`);
});

const second = (...words: Parameters<typeof explained>): string => text(...words).split("\n")[2] ?? "";

test("what no policy is asked about, and why", () => {
  expect(second("node/node2", "db/postgres-0:5432")).toBe("allowed: a node always reaches its own pods");
  expect(second("db/postgres-0", "db/postgres-0:5432")).toBe("allowed: a pod always reaches itself");
  expect(second("node1", "outside:443")).toBe("allowed: neither end is a pod, so no policy is asked");
  expect(second("cart-0", "1.2.3.4:443")).toBe("allowed: no policy stands between them");
  expect(second("node1", "db/postgres-0:5432")).toStartWith("denied on the way in to db/postgres-0:");
});

test("a rule that denies, by its own name and place; what a pass leads to; a policy that cannot be understood", () => {
  const guarded = withFile(
    sceneModel(),
    `apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress:
  - name: no-mail
    action: Deny
    to: [{networks: [0.0.0.0/0]}]
    protocols: [{tcp: {destinationPort: {number: 25}}}]
`,
  );
  expect(second("cart-0", "1.2.3.4:25", guarded)).toBe(
    'denied on the way out of shop/cart-0: ClusterNetworkPolicy guard rule 1 "no-mail" (change.yaml line 9)',
  );
  expect(text("cart-0", "1.2.3.4:26", guarded)).toContain(
    'came close to denying it:\n    ClusterNetworkPolicy guard rule 1 "no-mail" (change.yaml line 9)\n      - the rule is about TCP 25\n',
  );
  const broken = sceneModel();
  const [policy] = broken.policies.values();
  const policies = new Map(
    [...broken.policies].map(([name, one]) => [name, one === policy ? { ...one, broken: "what?" } : one]),
  );
  expect(second("cart-0", "db/postgres-0:1", { ...broken, policies })).toContain(
    "db/default-deny (scene.yaml line 34) cannot be understood: what?",
  );
});

test("names that nobody has, and ports that a pod has not, say what there is", () => {
  expect(() => text("cart", "db/postgres-0:1")).toThrow("there is no pod and no node cart");
  expect(() => text("cart-0", "db/postgres-0:http")).toThrow("db/postgres-0 has no port called http");
  expect(() => text("cart-0", "db/postgres-0:99999")).toThrow('"99999" is not a port');
  expect(() => text("cart-0", "db/postgres-0/udp")).toThrow("which UDP port?");
  expect(() => text("cart-0", "fd00::1")).toThrow("have no address of one family");
});

test("what the kernels hold, where it is other than it should be", () => {
  const denied = explained("cart-0", "db/postgres-0:sql");
  const ingress = denied.directions[1];
  if (ingress === undefined) throw new Error("it has two directions");
  const row = {
    direction: "ingress",
    decision: ingress.decision,
    number: 7,
    packets: 3,
    bytes: 180,
    differences: [],
  } as const;
  const shown = (...held: Parameters<typeof heldText>[1]): string => heldText(denied, held, undefined, paint(false));
  expect(shown({ node: "node2", rows: [row] })).toBe(
    "\nin the kernel:\n  node2 ingress: deny, decision 7, taken 3×, as the policies say\n",
  );
  expect(
    shown({ node: "node2", rows: [{ ...row, differences: ["10.244.2.7 is not in the kernel's map of addresses"] }] }),
  ).toContain("taken 3×; 10.244.2.7 is not in the kernel's map of addresses");
  const other = { ...ingress.decision, verdict: "allow" } as const;
  expect(shown({ node: "node2", rows: [{ ...row, decision: other }] })).toContain(
    "but its policies say deny: the agents do not know the same",
  );
  expect(shown({ node: "node2" })).toContain("node2: no policy is in force, and there should be");
  expect(shown({ node: "node2", error: "it is away" })).toContain("node2: not asked: it is away");
});
