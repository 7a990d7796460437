/** Whatever stands in a manifest is named: a value put in at random, known or unknown, anywhere, is found in the result. */
import { expect, test } from "bun:test";
import { isCode } from "../../base/errors.ts";
import { pick, type Random, seededRandom } from "../../base/random.ts";
import { convert } from "./convert.ts";
import type { Conversion } from "./finding.ts";
import { isMapping, leavesOf } from "./leaves.ts";
import { calicoManifest, canalManifest, flannelManifest } from "./manifests.fixture.ts";

const pool =
  "---\nkind: IPPool\nmetadata: {name: a}\nspec: {cidr: 10.5.0.0/16, vxlanMode: Always, natOutgoing: true}\n";
const felix = "---\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {vxlanPort: 4790}\n";

const samples: readonly string[] = [
  flannelManifest(),
  flannelManifest({ style: "command", apiVersion: "extensions/v1beta1", architectures: ["amd64", "arm64", "s390x"] }),
  flannelManifest({
    netConf: '{"Network": "10.0.0.0/8", "EnableIPv6": true, "IPv6Network": "fd00::/48", "Backend": {"Type": "ipip"}}',
  }),
  canalManifest({ iface: "eth0", vethMtu: "1400" }),
  calicoManifest(),
  calicoManifest({ backend: "vxlan" }) + pool + felix,
  calicoManifest({ backend: "none" }) + felix,
];

const rounds = 300;

type Tree = Record<string, unknown> | unknown[];

/** All mappings in the document, but the insides of definitions of kinds, which are named as a whole. */
function mappings(value: unknown): Record<string, unknown>[] {
  if (typeof value !== "object" || value === null) return [];
  if (isMapping(value) && value.kind === "CustomResourceDefinition") return [value as Record<string, unknown>];
  const inner = Object.values(value as Tree).flatMap(mappings);
  return Array.isArray(value) ? inner : [value as Record<string, unknown>, ...inner];
}

const knownVariables = [
  ...["CIDR", "IPIP", "VXLAN", "NAT_OUTGOING", "BLOCK_SIZE", "NODE_SELECTOR", "DISABLE_BGP_EXPORT"].flatMap((name) => [
    `CALICO_IPV4POOL_${name}`,
    `CALICO_IPV6POOL_${name}`,
  ]),
  ...[
    "IP",
    "IP6",
    "IP_AUTODETECTION_METHOD",
    "IP6_AUTODETECTION_METHOD",
    "AS",
    "NO_DEFAULT_POOLS",
    "CALICO_ROUTER_ID",
    "ETCD_ENDPOINTS",
  ],
  ...["FELIX_VXLANVNI", "FELIX_VXLANMTU", "FELIX_VXLANPORT", "FELIX_WIREGUARDENABLED", "FELIX_BPFENABLED"],
  ...["FLANNELD_IFACE", "FLANNELD_IP_MASQ", "FLANNELD_PUBLIC_IP", "FLANNELD_ETCD_ENDPOINTS", "KUBERNETES_SERVICE_HOST"],
];
const knownFlags = [
  "iface",
  "iface-regex",
  "public-ip",
  "ip-masq",
  "kube-subnet-mgr",
  "healthz-port",
  "v",
  "etcd-prefix",
  "subnet-file",
  "iptables-resync",
];
const values = [
  "true",
  "false",
  "1400",
  "",
  "0",
  "10.9.0.0/16",
  "fd00:9::/48",
  "eth1",
  "Always",
  "none",
  "autodetect",
  "x y",
  "a,b",
  "$(HOME)",
];

/** A change of a manifest, and the word that must come back: as a finding's name, or anywhere in one. */
interface Addition {
  readonly word: string;
  readonly where: string;
  readonly asName?: true;
}

function add(documents: readonly unknown[], random: Random): Addition | undefined {
  const word = `twill${random.below(1e9).toString(36)}x`;
  const value = pick(random, values);
  const all = documents.flatMap(mappings);
  const containers = all.filter((mapping) => typeof mapping.image === "string");
  const agents = containers.filter(({ name }) => name === "kube-flannel" || name === "calico-node");
  const configs = all.filter(
    (mapping) => typeof mapping["net-conf.json"] === "string" || typeof mapping.cni_network_config === "string",
  );
  switch (random.below(7)) {
    case 0: {
      pick(random, all)[word] = pick(random, [value, 7, true, null, { inner: value }, [value], {}]);
      return { word, where: "a field" };
    }
    case 1: {
      const container = pick(random, containers);
      container.env = [...((container.env as unknown[] | undefined) ?? []), { name: word, value }];
      return { word, where: "a variable" };
    }
    case 2: {
      const container = pick(random, agents);
      const name = pick(random, knownVariables);
      container.env = [...((container.env as unknown[] | undefined) ?? []), { name, value }];
      return { word: name, where: `${name}=${value}`, asName: true };
    }
    case 3: {
      const container = containers.find(({ name }) => name === "kube-flannel");
      if (container === undefined) return undefined;
      const list = Array.isArray(container.args) ? "args" : "command";
      const flag = random.below(2) === 0 ? word : pick(random, knownFlags);
      container[list] = [...((container[list] as unknown[] | undefined) ?? []), `--${flag}=${value}`];
      return { word: `--${flag}`, where: `--${flag}=${value}`, asName: true };
    }
    case 4: {
      const data = pick(random, configs);
      const key = pick(
        random,
        ["net-conf.json", "cni-conf.json", "cni_network_config"].filter((name) => typeof data[name] === "string"),
      );
      const json: unknown = JSON.parse(String(data[key]).replace(/: (__\w+__)/g, ': "$1"'));
      pick(random, mappings(json))[word] = pick(random, [value, 3, { a: 1 }, []]);
      data[key] = JSON.stringify(json);
      return { word, where: key };
    }
    case 5: {
      (documents as unknown[]).push({ kind: word, metadata: { name: "n" }, spec: { a: value } });
      return { word, where: "an object" };
    }
    default: {
      const container = pick(random, containers);
      const parent = all.find((mapping) => Array.isArray(mapping.containers) && mapping.containers.includes(container));
      if (parent === undefined) return undefined;
      (parent.containers as unknown[]).push({ name: word, image: "x", env: [{ name: "A", value }] });
      return { word, where: "a container" };
    }
  }
}

/** As a user who accepts whatever is refused. */
function convertAccepting(text: string): Conversion {
  const names = (accept: readonly string[]): readonly string[] => {
    const { findings } = convert([{ source: "f", text }], { accept });
    const refused = findings.filter(({ outcome }) => outcome === "refused").map(({ name }) => name);
    return refused.length === 0 ? accept : names([...new Set([...accept, ...refused])]);
  };
  return convert([{ source: "f", text }], { accept: names([]) });
}

test("a random field, variable, flag, container or object is named", () => {
  const seed = Number(process.env.TWILL_SEED ?? Date.now() & 0x7fffffff);
  const random = seededRandom(seed);
  let converted = 0;
  for (let round = 0; round < rounds; round++) {
    const documents = pick(random, samples)
      .split(/^---/m)
      .map((part) => Bun.YAML.parse(part))
      .filter((document) => document !== null);
    const addition = add(documents, random);
    if (addition === undefined) continue;
    const text = documents.map((document) => JSON.stringify(document)).join("\n---\n");
    const said = `TWILL_SEED=${seed} round ${round}: ${addition.where}`;
    try {
      const conversion = convertAccepting(text);
      if (!isNamed(conversion, addition)) throw new Error("it is not named");
      converted++;
      expect(conversion.findings.every(({ outcome }) => outcome !== "refused")).toBe(true);
    } catch (error) {
      // A network that cannot be is an error as a whole.
      if (!isCode(error, "invalid")) throw new Error(said, { cause: error });
    }
  }
  expect(converted).toBeGreaterThan(rounds * 0.8);
}, 60_000);

const isNamed = ({ findings, pod }: Conversion, { word, asName }: Addition): boolean =>
  asName === true
    ? findings.some(({ name, value }) => name === word || name.includes(`[${word}]`) || value.startsWith(word))
    : findings.some(({ object, name, value }) => [object, name, value].some((text) => text.includes(word))) ||
      JSON.stringify(pod).includes(word);

/** Nobody sets these: whoever reads flags and variables knows whose they are. */
const programs = ["/opt/bin/flanneld", "canal-config", "calico-config", "canal_iface"];

test("every value of the samples is in a finding, and none twice", () => {
  for (const sample of samples) {
    const { findings } = convertAccepting(sample);
    const documents = sample
      .split(/^---/m)
      .map((part) => Bun.YAML.parse(part))
      .filter((document) => document !== null);
    for (const document of documents) {
      if (isMapping(document) && document.kind === "CustomResourceDefinition") continue;
      for (const { value } of leavesOf(document)) {
        if (typeof value !== "string" || value.includes("\n") || programs.includes(value)) continue;
        const named = findings.some(
          ({ object, name, value: said }) =>
            name === value ||
            name.includes(`[${value}]`) ||
            said.includes(value) ||
            object.endsWith(` ${value}`) ||
            `${name}=${said}` === value,
        );
        if (!named) throw new Error(`${JSON.stringify(value)} of ${sample.slice(0, 60)} is not named`);
      }
    }
    const keys = findings.map(({ object, name, value }) => `${object} ${name} ${value}`);
    expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
  }
});
