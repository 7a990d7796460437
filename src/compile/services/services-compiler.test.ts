import { expect, test } from "bun:test";
import { type Address, parseAddress } from "../../base/address.ts";
import { parsePrefix } from "../../base/prefix.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import { protocols } from "../../model/policy.ts";
import {
  type EndpointSlice,
  type Service,
  type ServiceName,
  type SliceEndpoint,
  serviceName,
} from "../../model/services.ts";
import type { Pool, PoolName } from "../../model/services-state.ts";
import { ServicesCompiler } from "./services-compiler.ts";

const here = { name: "n1", zone: "east" };

const service = (name: string, rest: Partial<Service> = {}): Service => ({
  namespace: "shop",
  name,
  clusterAddresses: [parseAddress("10.96.0.10")],
  externalAddresses: [],
  loadBalancerAddresses: [],
  ports: [{ name: "http", protocol: protocols.tcp, port: 80, nodePort: 30_080 }],
  externalPolicy: "cluster",
  internalPolicy: "cluster",
  ...rest,
});

const endpoint = (host: number, rest: Partial<SliceEndpoint> = {}): SliceEndpoint => ({
  address: parseAddress(`10.244.1.${host}`),
  node: "n1",
  ready: true,
  serving: true,
  terminating: false,
  ...rest,
});

const slice = (of: Service, endpoints: readonly SliceEndpoint[], name = of.name): EndpointSlice => ({
  namespace: of.namespace,
  name,
  service: of.name,
  family: 4,
  ports: [{ name: "http", protocol: protocols.tcp, port: 8080 }],
  endpoints,
});

function compiled(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  node: { name: string; zone?: string } = here,
) {
  const model = {
    services: new Map(services.map((each) => [serviceName(each), each])),
    slices: new Map(slices.map((each) => [`${each.namespace}/${each.name}`, each])),
  };
  return new ServicesCompiler({ model, slicesOf: (name) => slicesOf(model.slices, name) }, node);
}

const slicesOf = (slices: ReadonlyMap<string, EndpointSlice>, name: ServiceName): EndpointSlice[] =>
  [...slices.values()].filter((each) => `${each.namespace}/${each.service}` === name);

/** Host numbers of a Service's endpoints in the pool of one scope. */
function hosts(compiler: ServicesCompiler, scope = "cluster"): number[] | undefined {
  const [, found] = [...compiler.state.pools].find(([name]) => name.endsWith(` ${scope}`)) ?? [];
  return found?.backends.map(({ address }) => Number(address.split(".").at(-1)));
}

test("ready endpoints of all slices; one that stands in two counts once", () => {
  const web = service("web");
  const compiler = compiled(
    [web],
    [
      slice(web, [endpoint(2), endpoint(3, { ready: false })], "web-1"),
      slice(web, [endpoint(3), endpoint(4, { ready: false, serving: false })], "web-2"),
    ],
  );
  expect(hosts(compiler)).toEqual([2, 3]);
  expect(compiler.accounts("shop/web")?.map(({ address, reason }) => [address as string, reason])).toEqual([
    ["10.244.1.2", "ready"],
    ["10.244.1.3", "ready"],
    ["10.244.1.4", "not ready"],
  ]);
});

test("what terminates and still serves is used when nothing is ready", () => {
  const web = service("web");
  const ending = endpoint(2, { ready: false, terminating: true });
  const gone = endpoint(3, { ready: false, serving: false, terminating: true });
  expect(hosts(compiled([web], [slice(web, [ending, gone])]))).toEqual([2]);
  expect(hosts(compiled([web], [slice(web, [ending, gone, endpoint(4)])]))).toEqual([4]);
  expect(compiled([web], [slice(web, [ending, gone, endpoint(4)])]).accounts("shop/web")?.[0]?.reason).toBe(
    "terminating",
  );
});

test("hints: for this node, else for its zone, and only if all have one and one is for us", () => {
  const web = service("web");
  const hinted = (host: number, zone: string, node?: string) =>
    endpoint(host, { forZones: [zone], ...(node !== undefined && { forNodes: [node] }) });
  const zones = [hinted(2, "east"), hinted(3, "west"), hinted(4, "east")];
  expect(hosts(compiled([web], [slice(web, zones)]))).toEqual([2, 4]);
  expect(hosts(compiled([web], [slice(web, [...zones, endpoint(5)])]))).toEqual([2, 3, 4, 5]);
  expect(hosts(compiled([web], [slice(web, zones)], { name: "n1", zone: "north" }))).toEqual([2, 3, 4]);
  expect(hosts(compiled([web], [slice(web, zones)], { name: "n1" }))).toEqual([2, 3, 4]);
  const nodes = [hinted(2, "east", "n2"), hinted(3, "west", "n1"), hinted(4, "east", "n3")];
  expect(hosts(compiled([web], [slice(web, nodes)]))).toEqual([3]);
  expect(hosts(compiled([web], [slice(web, nodes)], { name: "n9", zone: "east" }))).toEqual([2, 4]);
  const account = compiled([web], [slice(web, zones)]).accounts("shop/web");
  expect(account?.[1]?.reason).toBe("for another zone");
});

test("Local: for whom it is said", () => {
  const web = service("web", { externalPolicy: "local", externalAddresses: [parseAddress("192.0.2.1")] });
  const compiler = compiled([web], [slice(web, [endpoint(2), endpoint(3, { node: "n2" })])]);
  const of = (key: string) => compiler.state.frontends.get(key as never);
  expect(of("10.96.0.10/6/80")?.outside).toEqual("4 shop/web:http/6 cluster" as PoolName);
  expect(of("192.0.2.1/6/80")).toEqual({
    service: "shop/web",
    inside: "4 shop/web:http/6 cluster" as PoolName,
    outside: "4 shop/web:http/6 local" as PoolName,
  });
  expect(hosts(compiler, "local")).toEqual([2]);
  const unready = endpoint(5, { ready: false, serving: false });
  expect(hosts(compiled([web], [slice(web, [endpoint(2), unready])]), "local")).toEqual([2]);
  const leaving = endpoint(6, { ready: false, terminating: true });
  expect(hosts(compiled([web], [slice(web, [unready, leaving])]), "local")).toEqual([6]);
  const inner = compiled([service("web", { internalPolicy: "local" })], [slice(web, [endpoint(3, { node: "n2" })])]);
  expect([...inner.state.pools.values()].map(({ backends, empty }) => [backends.length, empty])).toEqual([
    [0, "drop"],
    [1, "refuse"],
  ]);
});

test("a load balancer is told how many ready endpoints this node has", () => {
  const web = service("web", { externalPolicy: "local", healthCheckPort: 31_000 });
  const ending = endpoint(4, { ready: false, terminating: true });
  const of = (...endpoints: readonly SliceEndpoint[]) =>
    compiled([web], [slice(web, endpoints)]).healthChecks.get(31_000);
  expect(of(endpoint(2), endpoint(3, { node: "n2" }))).toEqual({ service: "shop/web", localEndpoints: 1 });
  expect(of(ending)).toEqual({ service: "shop/web", localEndpoints: 0 });
});

test("of two Services that claim an address or a node port, the first by name has it, and the other is told", () => {
  const [one, two] = [service("one"), service("two")];
  const compiler = compiled([two, one], []);
  expect(compiler.state.frontends.get("10.96.0.10/6/80" as never)?.service).toBe("shop/one");
  expect(compiler.problems().map(({ subject, message }) => `${subject}: ${message}`)).toEqual([
    "Service shop/two: address 10.96.0.10/6/80 belongs to Service shop/one",
    "Service shop/two: node port 4/6/30080 belongs to Service shop/one",
  ]);
});

test("after any changes, the state is what a fresh compiler makes, and the changes add up to it", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed);
    const services = new Map<string, Service>();
    const slices = new Map<string, EndpointSlice>();
    const inputs = { model: { services, slices }, slicesOf: (name: ServiceName) => slicesOf(slices, name) };
    const compiler = new ServicesCompiler(inputs, here);
    const added = {
      frontends: new Map(),
      nodePorts: new Map(),
      pools: new Map<PoolName, Pool>(),
      clusterAddresses: new Map<Address, true>(),
    };
    for (let step = 0; step < 30; step++) {
      const touched = new Set<string>();
      for (let count = random.below(3); count >= 0; count--) touched.add(randomChange(random, services, slices));
      const change = compiler.change({ services: touched, endpoints: touched });
      for (const [key, value] of change.frontends) set(added.frontends, key, value);
      for (const [key, value] of change.nodePorts) set(added.nodePorts, key, value);
      for (const [key, value] of change.pools) set(added.pools, key, value);
      for (const [key, value] of change.clusterAddresses) set(added.clusterAddresses, key, value || undefined);
    }
    const fresh = new ServicesCompiler(inputs, here).state;
    expect({ seed, state: sorted(compiler.state) }).toEqual({ seed, state: sorted(fresh) });
    const sum = { ...added, clusterAddresses: new Set(added.clusterAddresses.keys()) };
    expect({ seed, state: sorted(sum) }).toEqual({ seed, state: sorted(fresh) });
  }
});

function set<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

const sorted = (state: ServicesCompiler["state"]) => ({
  frontends: new Map([...state.frontends].sort()),
  nodePorts: new Map([...state.nodePorts].sort()),
  pools: new Map([...state.pools].sort(([a], [b]) => (a < b ? -1 : 1))),
  clusterAddresses: [...state.clusterAddresses].sort(),
});

/** @returns the Service that is other than before. */
function randomChange(random: Random, services: Map<string, Service>, slices: Map<string, EndpointSlice>): string {
  const name = `s${random.below(4)}`;
  const key = `shop/${name}`;
  const chance = random.below(6);
  if (chance === 0) {
    services.delete(key);
    return key;
  }
  const of = services.get(key) ?? service(name);
  if (chance === 1) slices.delete(`shop/${name}-${random.below(2)}`);
  else if (chance < 5) {
    const endpoints = Array.from({ length: random.below(4) }, () =>
      endpoint(2 + random.below(5), {
        node: pick(random, ["n1", "n2"]),
        ready: random.below(3) > 0,
        terminating: random.below(3) === 0,
        ...(random.below(2) === 0 && { forZones: [pick(random, ["east", "west"])] }),
      }),
    );
    const one = slice(of, endpoints, `${name}-${random.below(2)}`);
    slices.set(`shop/${one.name}`, one);
  } else {
    services.set(
      key,
      service(name, {
        clusterAddresses: [parseAddress(`10.96.0.${random.below(3)}`)],
        loadBalancerAddresses: random.below(2) === 0 ? [parseAddress("192.0.2.1")] : [],
        ...(random.below(3) === 0 && { sourceRanges: [parsePrefix("198.51.100.0/24")] }),
        ...(random.below(3) === 0 && { affinitySeconds: 10 }),
        externalPolicy: pick(random, ["cluster", "local"]),
        internalPolicy: pick(random, ["cluster", "local"]),
      }),
    );
  }
  return key;
}
