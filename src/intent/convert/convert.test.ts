import { describe, expect, test } from "bun:test";
import { isCode } from "../../base/errors.ts";
import { parseNetConf } from "../flannel/net-conf.ts";
import { type ConvertOptions, convert } from "./convert.ts";
import type { Conversion, Finding, Outcome } from "./finding.ts";
import { calicoManifest, canalManifest, flannelManifest, standardNetConf } from "./manifests.fixture.ts";

const convertText = (text: string, options?: ConvertOptions) => convert([{ source: "f.yaml", text }], options);
const flannel = (variant: Parameters<typeof flannelManifest>[0], options?: ConvertOptions) =>
  convertText(flannelManifest(variant), options);
const calico = (env: string, options: ConvertOptions = {}, rest = "") =>
  convertText(calicoManifest({ env }) + rest, { accept: ["network-policy"], ...options });

const found = ({ findings }: Conversion, name: string): readonly Finding[] =>
  findings.filter((finding) => finding.name === name);
const outcomes = (conversion: Conversion, name: string): readonly Outcome[] =>
  found(conversion, name).map(({ outcome }) => outcome);
const refusals = ({ findings }: Conversion) =>
  findings.filter(({ outcome }) => outcome === "refused").map(({ name }) => name);

/** Variables of calico-node as YAML. */
const variables = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `            - {name: ${name}, value: ${JSON.stringify(value)}}`)
    .join("\n");

describe("kube-flannel.yml of all ages", () => {
  const standard = ["--ip-masq=true", "--attachment=bridge", "--cni-chain=portmap"];
  for (const [age, variant] of [
    ["v0.9: flags in command, extensions/v1beta1", { style: "command", apiVersion: "extensions/v1beta1" }],
    ["v0.11: a DaemonSet an architecture", { architectures: ["amd64", "arm64", "arm", "ppc64le", "s390x"] }],
    ["v0.12: by node affinity", { architectures: ["amd64", "arm64"], affinity: true }],
    ["v0.14: one DaemonSet", {}],
    ["v0.22: a namespace of its own", { namespace: "kube-flannel" }],
    [
      "v0.27: variables of its queue",
      { env: variables({ EVENT_QUEUE_DEPTH: "5000", CONT_WHEN_CACHE_NOT_READY: "false" }) },
    ],
  ] as const) {
    test(age, () => {
      const conversion = flannel(variant);
      expect(refusals(conversion)).toEqual([]);
      expect(conversion.findings.filter(({ outcome }) => outcome === "unknown")).toEqual([]);
      expect(conversion.from).toBe("flannel");
      expect(conversion.netConf).toBe(standardNetConf);
      expect(conversion.flags).toEqual(standard);
      expect(conversion.pod.tolerations).toEqual([{ operator: "Exists", effect: "NoSchedule" }]);
      // One DaemonSet is for all architectures.
      expect(JSON.stringify(conversion.pod)).not.toContain("arch");
    });
  }

  test("its own configuration of pods, before v0.10 a single plugin", () => {
    const cniConf = '{"name": "cbr0", "type": "flannel", "delegate": {"isDefaultGateway": true}}';
    expect(flannel({ cniConf }).flags).toEqual(["--ip-masq=true", "--attachment=bridge"]);
  });

  test("architectures without Twill are named", () => {
    const conversion = flannel({ architectures: ["amd64", "s390x"] });
    const lost = conversion.findings.filter(({ object }) => object === "DaemonSet kube-flannel-ds-s390x");
    expect(lost.length).toBeGreaterThan(20);
    expect(lost.every(({ outcome, reason }) => outcome === "left-out" && reason.includes("s390x"))).toBe(true);
  });

  test("one DaemonSet keeps its node selector, under today's name", () => {
    expect(flannel({ architectures: ["arm64"] }).pod.nodeSelector).toEqual({ "kubernetes.io/arch": "arm64" });
  });

  test("DaemonSets that differ are refused", () => {
    const text = flannelManifest({ architectures: ["amd64", "arm64"] }).replace(
      '["--ip-masq", ',
      '["--iface=eth1", "--ip-masq", ',
    );
    expect(refusals(convertText(text))).toEqual(["flags"]);
    expect(convertText(text, { accept: ["flags"] }).flags).toContain("--iface=eth1");
  });
});

describe("flags of flanneld", () => {
  const flagsOf = (flags: readonly string[], env?: string, options?: ConvertOptions) =>
    flannel(
      { flags: ["--kube-subnet-mgr", ...flags], cniConf: '{"type": "flannel"}', ...(env !== undefined && { env }) },
      options,
    );
  for (const [given, expected] of [
    [["--ip-masq"], ["--ip-masq=true"]],
    [["-ip-masq=0"], ["--ip-masq=false"]],
    // flanneld does not masquerade unless told, Twill does.
    [[], ["--ip-masq=false"]],
    [
      ["--iface=eth1", "-iface", "10.0.0.7", "--ip-masq"],
      ["--iface=eth1", "--iface=10.0.0.7", "--ip-masq=true"],
    ],
    [
      ["--iface-regex=^bond[0-9]+$", "--ip-masq"],
      ["--iface-regex=^bond[0-9]+$", "--ip-masq=true"],
    ],
    [
      ["--public-ip=192.0.2.7", "--ip-masq"],
      ["--public-ip=192.0.2.7", "--ip-masq=true"],
    ],
    // The probes of Twill's manifest ask another port.
    [["--healthz-port=8080", "--ip-masq"], ["--ip-masq=true"]],
    [["--subnet-file=/run/flannel/subnet.env", "--v=2", "--ip-masq"], ["--ip-masq=true"]],
    [
      ["--subnet-file=/x", "--v=10", "--ip-masq"],
      ["--subnet-file=/x", "--log-level=debug", "--ip-masq=true"],
    ],
  ] as const) {
    test(given.join(" ") || "(none)", () => {
      const conversion = flagsOf(given);
      expect(refusals(conversion)).toEqual([]);
      expect(conversion.flags).toEqual([...expected, "--attachment=bridge"]);
    });
  }

  test("from the environment, after the command line, and out of other variables", () => {
    const env = variables({ FLANNELD_IP_MASQ: "true", FLANNELD_IFACE: "eth9", DEVICE: "eth7" });
    const conversion = flagsOf(["--iface=$(DEVICE)"], env);
    expect(conversion.flags).toEqual(["--iface=eth7", "--ip-masq=true", "--attachment=bridge"]);
    expect(outcomes(conversion, "FLANNELD_IFACE")).toEqual(["left-out"]);
  });

  test("what only the pod knows is left to Kubernetes, with the variable", () => {
    const entry = { name: "HOST", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } };
    const conversion = flagsOf(["--ip-masq", "--iface=$(HOST)"], `            - ${JSON.stringify(entry)}`);
    expect(conversion.flags).toContain("--iface=$(HOST)");
    expect(conversion.pod.env).toEqual([entry]);
  });

  test("where the API server is, the agent is told", () => {
    const conversion = flagsOf(["--ip-masq"], variables({ KUBERNETES_SERVICE_HOST: "192.0.2.1" }));
    expect(conversion.pod.env).toEqual([{ name: "KUBERNETES_SERVICE_HOST", value: "192.0.2.1" }]);
  });

  test("Go reads no flag behind a word that is none", () => {
    const conversion = flagsOf(["--ip-masq", "true", "--iface=eth1"]);
    expect(conversion.flags).not.toContain("--iface=eth1");
    expect(found(conversion, "--iface")[0]?.reason).toContain("flanneld does not read it");
  });

  for (const [name, given] of [
    ["--iface", ["--iface=no such/name"]],
    ["--iface-regex", ["--iface-regex=eth{1,2}"]],
    ["--iface-regex", ["--iface-regex=(?i)ETH"]],
    ["--iface-regex", ["--iface-regex=[[:alpha:]]+0"]],
    ["--public-ip", ["--public-ip=fd00::1"]],
    ["--ip-masq", ["--ip-masq=yes"]],
  ] as const) {
    test(`refused: ${given.join(" ")}`, () => expect(refusals(flagsOf(given))).toEqual([name]));
  }

  test("etcd is refused", () => {
    const flags = ["--etcd-endpoints=http://192.0.2.1:2379", "--etcd-password=geheim", "--ip-masq"];
    const conversion = flannel({ flags });
    expect(refusals(conversion)).toEqual(["--kube-subnet-mgr"]);
    expect(JSON.stringify(conversion)).not.toContain("geheim");
  });

  test("a shell script is read when it is one command, else refused", () => {
    const script = (line: string) =>
      convertText(
        flannelManifest().replace(
          /command: \[\/opt\/bin\/flanneld\]\n.*/,
          `command: [/bin/sh, -c, ${JSON.stringify(line)}]`,
        ),
      );
    expect(script("exec /opt/bin/flanneld --kube-subnet-mgr --iface=eth3").flags).toContain("--iface=eth3");
    expect(refusals(script("sleep 3; /opt/bin/flanneld --iface=$X"))).toContain("command");
  });
});

describe("net-conf.json", () => {
  const netConf = (fields: Record<string, unknown>, options?: ConvertOptions) =>
    flannel({ netConf: JSON.stringify({ Network: "10.244.0.0/16", ...fields }) }, options);
  const backendOf = (conversion: Conversion): unknown => JSON.parse(conversion.netConf ?? "{}").Backend;

  test("kept to the letter where Twill reads it", () => {
    const text =
      '{ "network": "10.1.0.0/16",\n"SubnetLen":25, "EnableNFTables": true, "Backend": {"type": "VXLAN", "Directrouting": true, "VNI": 7} }';
    expect(flannel({ netConf: text }).netConf).toBe(`${text.replaceAll("\n", "\n")}\n`);
  });

  test("what Flannel leaves aside is named and left out", () => {
    const conversion = netConf({ Ntwork: 1, Backend: { Type: "host-gw", VNI: 3, Colour: "red" } });
    expect(outcomes(conversion, "Ntwork")).toEqual(["unknown"]);
    expect(outcomes(conversion, "Backend.VNI")).toEqual(["left-out"]);
    expect(outcomes(conversion, "Backend.Colour")).toEqual(["unknown"]);
    expect(backendOf(conversion)).toEqual({ Type: "host-gw" });
  });

  test("what Flannel documents for Windows nodes is kept, and without effect", () => {
    const conversion = netConf({ Backend: { Type: "vxlan", MacPrefix: "0E-2A" } });
    expect(outcomes(conversion, "Backend.MacPrefix")).toEqual(["carried"]);
    expect(backendOf(conversion)).toEqual({ Type: "vxlan", MacPrefix: "0E-2A" });
  });

  test("host bits, and a field in two spellings", () => {
    const conversion = flannel({ netConf: '{"Network": "10.9.0.0/16", "network": "10.244.3.1/16"}' });
    expect(JSON.parse(conversion.netConf ?? "")).toEqual({ Network: "10.244.0.0/16" });
    expect(found(conversion, "Network").map(({ value }) => value)).toEqual(["10.9.0.0/16", "10.244.3.1/16"]);
  });

  test("backends of later versions: replaced where packets only travel otherwise", () => {
    expect(backendOf(netConf({ Backend: { Type: "ipip", DirectRouting: true } }))).toEqual({
      Type: "vxlan",
      DirectRouting: true,
    });
    const udp = netConf({ Backend: { Type: "udp", Port: 8285 } });
    expect(backendOf(udp)).toEqual({ Type: "vxlan" });
    expect(outcomes(udp, "Backend.Port")).toEqual(["left-out"]);
  });

  for (const type of ["wireguard", "ipsec", "aws-vpc", "tencent-vpc", "extension"]) {
    test(`${type} is refused until accepted`, () => {
      const fields = { Backend: { Type: type, PSK: "geheim" } };
      const conversion = netConf(fields);
      expect(refusals(conversion)).toEqual(["Backend.Type"]);
      expect(conversion.netConf).toBeUndefined();
      const accepted = netConf(fields, { accept: ["Backend.Type"] });
      expect(backendOf(accepted)).toEqual({ Type: type === "extension" ? type : "vxlan" });
      expect(accepted.flags.includes("--allow-extension-commands=true")).toBe(type === "extension");
      expect(JSON.stringify([conversion, accepted])).not.toContain("geheim");
    });
  }

  test("a network that Twill cannot have, and broken JSON, are errors with their place", () => {
    expect(() => netConf({ Network: "10.0.0.0/30" })).toThrow("too small");
    expect(() => flannel({ netConf: '{"Network": }' })).toThrow();
    try {
      flannel({ netConf: '{"Network": }' });
    } catch (error) {
      expect(isCode(error, "invalid") && error.object).toBe(
        "ConfigMap kube-flannel-cfg: net-conf.json line 1, column 13",
      );
    }
  });
});

describe("the CNI configuration", () => {
  const cni = (...plugins: readonly unknown[]) => flannel({ cniConf: JSON.stringify({ name: "cbr0", plugins }) });

  test("an MTU of pods becomes one of the underlay", () => {
    const conversion = cni({ type: "flannel", delegate: { mtu: 1400 } });
    expect(JSON.parse(conversion.netConf ?? "").Backend).toEqual({ Type: "vxlan", MTU: 1450 });
  });

  for (const [name, plugins] of [
    [
      "cni-conf.json:plugins[0].delegate.isDefaultGateway",
      [{ type: "flannel", delegate: { isDefaultGateway: false } }],
    ],
    ["cni-conf.json:plugins[0].delegate.type", [{ type: "flannel", delegate: { type: "ipvlan" } }]],
    ["plugin:sbr", [{ type: "flannel" }, { type: "sbr" }]],
    ["cni-conf.json:plugins[1].sysctl.a", [{ type: "flannel" }, { type: "tuning", sysctl: { a: "1" } }]],
    ["cni-conf.json:plugins[1].snat", [{ type: "flannel" }, { type: "portmap", snat: false }]],
  ] as const) {
    test(`refused: ${name}`, () => expect(refusals(cni(...plugins))).toEqual([name]));
  }
});

describe("canal.yaml", () => {
  const accept = ["network-policy"];
  test("as it comes", () => {
    const conversion = convertText(canalManifest(), { accept });
    expect(conversion.from).toBe("canal");
    expect(refusals(conversion)).toEqual([]);
    expect(conversion.findings.filter(({ outcome }) => outcome === "unknown")).toEqual([]);
    expect(conversion.netConf).toBe(standardNetConf);
    expect(conversion.flags).toEqual(["--ip-masq=true", "--cni-chain=portmap", "--cni-chain=bandwidth"]);
  });

  test("its interface and MTU", () => {
    const conversion = convertText(canalManifest({ iface: "eth1", vethMtu: "1400" }), { accept });
    expect(conversion.flags).toContain("--iface=eth1");
    expect(parseNetConf(conversion.netConf ?? "").backend).toMatchObject({ mtu: 1450 });
  });

  test("policy is not lost in silence", () => {
    expect(refusals(convertText(canalManifest()))).toEqual(["network-policy"]);
  });

  test("a ConfigMap that is not at hand is asked for", () => {
    const [, daemonSet = ""] = canalManifest().split("---");
    const netConf = 'kind: ConfigMap\nmetadata: {name: other}\ndata: {net-conf.json: \'{"Network": "10.0.0.0/16"}\'}\n';
    const conversion = convert(
      [
        { source: "a", text: daemonSet },
        { source: "b", text: netConf },
      ],
      { accept },
    );
    expect(refusals(conversion)).toEqual(["FLANNELD_IFACE"]);
    expect(found(conversion, "FLANNELD_IFACE")[0]?.reason).toContain("ConfigMap canal-config");
  });
});

describe("calico.yaml", () => {
  const cidr = { CALICO_IPV4POOL_CIDR: "172.20.0.0/16" };
  for (const [settings, backend] of [
    [{ CALICO_IPV4POOL_IPIP: "Always" }, { Type: "vxlan" }],
    [{ CALICO_IPV4POOL_IPIP: "CrossSubnet" }, { Type: "vxlan", DirectRouting: true }],
    [
      { CALICO_IPV4POOL_VXLAN: "Always", CALICO_IPV4POOL_IPIP: "Never" },
      { Type: "vxlan", Port: 4789 },
    ],
    [{ CALICO_IPV4POOL_VXLAN: "crosssubnet" }, { Type: "vxlan", Port: 4789, DirectRouting: true }],
    [
      { CALICO_IPV4POOL_IPIP: "Never", CALICO_IPV4POOL_VXLAN: "Never" },
      { Type: "vxlan", DirectRouting: true },
    ],
    [
      { CALICO_IPV4POOL_VXLAN: "Always", FELIX_VXLANVNI: "5", FELIX_VXLANPORT: "8472" },
      { Type: "vxlan", VNI: 5, Port: 8472 },
    ],
    [
      { CALICO_IPV4POOL_VXLAN: "Always", FELIX_VXLANMTU: "1400" },
      { Type: "vxlan", Port: 4789, MTU: 1450 },
    ],
  ] as const) {
    test(JSON.stringify(settings), () => {
      const conversion = calico(variables({ ...cidr, ...settings }));
      expect(refusals(conversion)).toEqual([]);
      expect(JSON.parse(conversion.netConf ?? "")).toEqual({ Network: "172.20.0.0/16", Backend: backend });
      for (const name of Object.keys(settings)) expect(found(conversion, name).length).toBeGreaterThan(0);
    });
  }

  test("IP-in-IP is named with what stands in its place", () => {
    const [finding] = found(calico(variables({ ...cidr, CALICO_IPV4POOL_IPIP: "Always" })), "CALICO_IPV4POOL_IPIP");
    expect(finding).toMatchObject({ outcome: "changed", value: "Always" });
    expect(finding?.reason).toContain("IP-in-IP comes in a later version");
  });

  test("without a network: asked for, or Calico's last resort", () => {
    expect(refusals(calico(""))).toEqual(["CALICO_IPV4POOL_CIDR"]);
    expect(calico("").netConf).toBeUndefined();
    expect(calico("", { network: "10.9.0.0/16" }).netConf).toContain("10.9.0.0/16");
    const accepted = calico("", { accept: ["network-policy", "CALICO_IPV4POOL_CIDR"] });
    expect(accepted.netConf).toContain("192.168.0.0/16");
  });

  test("both families", () => {
    const conversion = calico(variables({ ...cidr, CALICO_IPV6POOL_CIDR: "fd00:20::/48", IP6: "autodetect" }));
    expect(parseNetConf(conversion.netConf ?? "").ipv6?.network as string).toBe("fd00:20::/48");
    const only = calico(variables({ CALICO_IPV6POOL_CIDR: "fd00:20::/48", IP: "none" }));
    expect(parseNetConf(only.netConf ?? "").ipv4).toBeUndefined();
  });

  test("masquerade and blocks", () => {
    const conversion = calico(
      variables({ ...cidr, CALICO_IPV4POOL_NAT_OUTGOING: "false", CALICO_IPV4POOL_BLOCK_SIZE: "22" }),
    );
    expect(conversion.flags).toContain("--ip-masq=false");
    expect(JSON.parse(conversion.netConf ?? "").SubnetLen).toBe(22);
    const usual = calico(variables({ ...cidr, CALICO_IPV4POOL_BLOCK_SIZE: "26" }));
    expect(outcomes(usual, "CALICO_IPV4POOL_BLOCK_SIZE")).toEqual(["changed"]);
  });

  for (const [method, flags] of [
    ["first-found", []],
    ["kubernetes-internal-ip", []],
    ["can-reach=192.0.2.1", ["--iface-can-reach=192.0.2.1"]],
    ["interface=eth.*,bond0", ["--iface-regex=eth.*", "--iface-regex=bond0"]],
    ["cidr=192.0.2.0/24", ["--iface-regex=^192\\.0\\.2\\."]],
    ["cidr=10.0.0.0/15", ["--iface-regex=^10\\.(0|1)\\."]],
    ["can-reach=example.org", undefined],
    ["skip-interface=docker.*", undefined],
    ["cidr=fd00::/8", undefined],
    ["interface=(?i)ETH", undefined],
  ] as const) {
    test(`IP_AUTODETECTION_METHOD=${method}`, () => {
      const conversion = calico(variables({ ...cidr, IP_AUTODETECTION_METHOD: method }));
      if (flags === undefined) expect(refusals(conversion)).toEqual(["IP_AUTODETECTION_METHOD"]);
      else expect(conversion.flags.filter((flag) => flag.startsWith("--iface"))).toEqual([...flags]);
    });
  }

  for (const [name, value] of [
    ["FELIX_WIREGUARDENABLED", "true"],
    ["FELIX_BPFENABLED", "true"],
    ["FELIX_DEFAULTENDPOINTTOHOSTACTION", "DROP"],
    ["CALICO_IPV4POOL_NODE_SELECTOR", "rack == 'a'"],
    ["CALICO_IPV4POOL_IPIP", "sometimes"],
    ["DATASTORE_TYPE", "etcdv3"],
  ] as const) {
    test(`refused: ${name}=${value}`, () => {
      expect(refusals(calico(variables({ ...cidr, [name]: value })))).toEqual([name]);
    });
  }

  test("IPPool and FelixConfiguration objects go before the variables", () => {
    const pool = (name: string, spec: string) => `---
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: ${name}}
spec: {${spec}}
`;
    const felix =
      "---\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {vxlanPort: 4790, wireguardEnabled: false, dream: 1}\n";
    const first = pool(
      "a",
      "cidr: 10.5.0.0/16, vxlanMode: CrossSubnet, ipipMode: Never, natOutgoing: true, blockSize: 26, nodeSelector: all()",
    );
    const conversion = calico(variables(cidr), {}, first + felix);
    expect(JSON.parse(conversion.netConf ?? "")).toEqual({
      Network: "10.5.0.0/16",
      Backend: { Type: "vxlan", Port: 4790, DirectRouting: true },
    });
    expect(outcomes(conversion, "CALICO_IPV4POOL_CIDR")).toEqual(["left-out"]);
    expect(outcomes(conversion, "felix.dream")).toEqual(["unknown"]);
    const two = calico(variables(cidr), {}, first + pool("b", "cidr: 10.6.0.0/16"));
    expect(refusals(two)).toEqual(["b.cidr"]);
  });

  test("policy only: there is no network here", () => {
    const text = calicoManifest({ backend: "none", env: variables(cidr) });
    expect(refusals(convertText(text)).toSorted()).toEqual(["CALICO_NETWORKING_BACKEND", "network-policy"]);
  });

  test("objects of policy and BGP are named", () => {
    const rest =
      "---\nkind: BGPPeer\nmetadata: {name: tor}\nspec: {peerIP: 192.0.2.1}\n---\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podSelector: {}}\n";
    const conversion = convertText(calicoManifest() + rest);
    expect(refusals(conversion)).toEqual(["network-policy", "bgp", "network-policy"]);
  });
});

test("without the ConfigMap that a variable refers to, the file is asked for", () => {
  const [, , daemonSet = ""] = calicoManifest().split("---");
  const conversion = convertText(daemonSet, { accept: ["network-policy"] });
  expect(refusals(conversion)).toEqual(["CALICO_NETWORKING_BACKEND", "FELIX_IPINIPMTU", "FELIX_VXLANMTU"]);
  expect(found(conversion, "FELIX_VXLANMTU")[0]?.reason).toContain("ConfigMap calico-config");
});

test("where the API server is, from a ConfigMap of its own", () => {
  const endpoint =
    "---\nkind: ConfigMap\nmetadata: {name: kubernetes-services-endpoint}\ndata: {KUBERNETES_SERVICE_HOST: 192.0.2.9}\n";
  const conversion = convertText(calicoManifest() + endpoint, { accept: ["network-policy"] });
  expect(conversion.environment.KUBERNETES_SERVICE_HOST).toBe("192.0.2.9");
  expect(conversion.findings.filter(({ outcome }) => outcome === "unknown")).toEqual([]);
});

test("an Installation of Calico's operator: what it made is asked for", () => {
  try {
    convertText("kind: Installation\napiVersion: operator.tigera.io/v1\nmetadata: {name: default}\n");
    expect.unreachable();
  } catch (error) {
    expect(isCode(error, "invalid") && error.remedy).toContain("kubectl get ippools -o yaml");
  }
});

test("an MTU of pods in Calico's ConfigMap, said to Felix too", () => {
  const conversion = convertText(calicoManifest({ vethMtu: "1440" }), { accept: ["network-policy"] });
  expect(refusals(conversion)).toEqual([]);
  expect(parseNetConf(conversion.netConf ?? "").backend).toMatchObject({ mtu: 1490 });
});

test("--network is only for a network that nobody says", () => {
  expect(() => flannel({}, { network: "10.1.0.0/16" })).toThrow("--network");
  expect(() => convertText(calicoManifest(), { network: "10.1.0.0/16" })).toThrow("192.168.0.0/16");
  expect(() => calico("", { network: "10.1.0.9/16" })).toThrow("--network");
});

test("a key that no container reads has no effect", () => {
  const text = canalManifest({ iface: "eth1" }).replace("FLANNELD_IFACE", "OTHER");
  const conversion = convertText(text, { accept: ["network-policy"] });
  expect(conversion.flags).not.toContain("--iface=eth1");
  expect(outcomes(conversion, "canal_iface")).toEqual(["left-out"]);
});

test("an empty word makes no calico-node of a container", () => {
  expect(flannel({ flags: ["--kube-subnet-mgr", "--ip-masq", ""] }).from).toBe("flannel");
});

test("a misspelt --accept is an error", () => {
  expect(() => flannel({}, { accept: ["netwrk-policy"] })).toThrow("netwrk-policy");
});

test("other manifests are refused", () => {
  for (const text of ["kind: Pod\nmetadata: {name: x}\n", "", "a: 1\n", "- 1\n"]) {
    expect(() => convertText(text)).toThrow();
  }
});

test("what `kubectl get -o yaml` prints", () => {
  const items = flannelManifest()
    .split("---")
    .slice(1)
    .map((text) => Bun.YAML.parse(text));
  const conversion = convertText(
    JSON.stringify({ apiVersion: "v1", kind: "List", items, metadata: { resourceVersion: "" } }),
  );
  expect(conversion.netConf).toBe(standardNetConf);
});

test("Secrets are not shown", () => {
  const secret = "---\nkind: Secret\nmetadata: {name: calico-etcd-secrets}\ndata: {etcd-cert: Z2VoZWlt}\n";
  const conversion = calico(variables({ CALICO_IPV4POOL_CIDR: "10.0.0.0/16" }), {}, secret);
  expect(JSON.stringify(conversion)).not.toContain("Z2VoZWlt");
  expect(outcomes(conversion, "data.etcd-cert")).toEqual(["left-out"]);
});
