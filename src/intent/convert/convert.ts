import { describeError, TwillError } from "../../base/errors.ts";
import { parseStrictPrefix } from "../../base/prefix.ts";
import { CalicoNetwork } from "./calico.ts";
import { carryNetConf } from "./carry-net-conf.ts";
import { carryCniConfig } from "./cni-config.ts";
import { type Draft, emptyDraft } from "./draft.ts";
import type { ConfigMaps } from "./environment.ts";
import type { Conversion } from "./finding.ts";
import { type AgentSettings, convertFlanneld, mergeAgents } from "./flanneld-container.ts";
import { isMapping, type Path } from "./leaves.ts";
import { Ledger, ObjectReader } from "./ledger.ts";
import { type ManifestFile, type ManifestObject, readManifests } from "./manifest-object.ts";
import { type Agent, agentOf, containerRules, containersOf } from "./network-agent.ts";
import { carryPodMtu } from "./pod-mtu.ts";
import { readPlacement } from "./pod-placement.ts";
import { daemonSet, sceneryOf, unusable } from "./scenery.ts";

export interface ConvertOptions {
  /** Names of refusals that the user accepts. */
  readonly accept?: readonly string[];
  /** The IPv4 network of pods, where Calico's manifest leaves it to kubeadm. */
  readonly network?: string;
}

/**
 * Flannel's, Canal's or Calico's manifest as configuration of Twill's: net-conf.json, flags of the agent, placement of its pods. Every
 * value of the files is in `findings`, with what became of it.
 * @throws TwillError `invalid`: files that cannot be read, that are no such manifest, or a network that Twill cannot have.
 */
export function convert(files: readonly ManifestFile[], options: ConvertOptions = {}): Conversion {
  const ledger = new Ledger(options.accept);
  const objects = readManifests(files).map((object) => ({ object, reader: new ObjectReader(object, ledger) }));
  const ofKind = (...kinds: readonly string[]) =>
    objects.filter(({ object }) => kinds.includes(object.kind)).map(({ reader }) => reader);
  const configs: ConfigMaps = new Map(
    objects.filter(({ object }) => object.kind === "ConfigMap").map(({ object, reader }) => [object.name, reader]),
  );
  const agents = ofKind("DaemonSet")
    .map(agentOf)
    .filter((agent) => agent !== undefined);
  const from = kindOf(agents, ofKind("ConfigMap"), ofKind("Installation").length > 0);
  checkNetwork(options.network, from);

  const draft = emptyDraft();
  const calico = new CalicoNetwork(ledger, options.network);
  for (const felix of ofKind("FelixConfiguration")) calico.readFelixConfiguration(felix);
  for (const pool of ofKind("IPPool")) calico.readPool(pool);
  if (from !== "calico") readNetConf([...configs.values()], ledger, draft);
  readAgents(agents, { from, configs, calico, ledger, draft });
  readConfigMaps([...configs.values()], ledger, draft);
  namePolicy(
    from,
    agents,
    objects.map(({ object, reader }) => ({ kind: object.kind, reader })),
    ledger,
  );
  for (const { object, reader } of objects) finish(object, reader, agents);
  ledger.checkAccepted();
  const literal = (draft.pod.env ?? []).filter(isMapping).filter(({ value }) => typeof value === "string");
  return {
    version: 1,
    from,
    netConf: draft.netConf,
    flags: draft.flags.words(),
    environment: {
      ...draft.flags.environment(),
      ...Object.fromEntries(literal.map(({ name, value }) => [String(name), String(value)])),
    },
    pod: draft.pod,
    findings: ledger.findings,
  };
}

/** @throws TwillError `invalid`: --network is no network, or net-conf.json says it. */
function checkNetwork(network: string | undefined, from: Conversion["from"]): void {
  if (network === undefined) return;
  if (from !== "calico")
    throw new TwillError("invalid", "--network: net-conf.json says it", { remedy: "leave it out" });
  try {
    parseStrictPrefix(network);
  } catch (error) {
    throw new TwillError("invalid", `--network: ${describeError(error)}`);
  }
}

/** @param operated there is an object of Calico's operator, which makes the DaemonSet and the pools of it. */
function kindOf(agents: readonly Agent[], configs: readonly ObjectReader[], operated: boolean): Conversion["from"] {
  const flannel = agents.some(({ flanneld }) => flanneld !== undefined);
  const calico = agents.some(({ calicoNode }) => calicoNode !== undefined);
  if (flannel) return calico ? "canal" : "flannel";
  if (calico) return "calico";
  if (configs.some((config) => config.at("data", "net-conf.json") !== undefined)) return "flannel";
  throw new TwillError("invalid", "there is neither flanneld nor calico-node in it", {
    operation: "convert",
    remedy: operated
      ? "give what Calico's operator made of it: kubectl -n calico-system get configmap,daemonset -o yaml, and kubectl get ippools -o yaml"
      : "give kube-flannel.yml, canal.yaml or calico.yaml; from a cluster: kubectl -n NAMESPACE get configmap,daemonset -o yaml",
  });
}

function readNetConf(configs: readonly ObjectReader[], ledger: Ledger, draft: Draft): void {
  const [first, ...more] = configs.filter((config) => config.at("data", "net-conf.json") !== undefined);
  if (first === undefined) {
    throw new TwillError("invalid", "there is no ConfigMap with net-conf.json", {
      operation: "convert",
      remedy: "give the file with kube-flannel-cfg, too: -f FILE -f FILE",
    });
  }
  carryNetConf(first, ["data", "net-conf.json"], ledger, draft);
  for (const other of more) {
    other.refuse(
      ["data", "net-conf.json"],
      `${first.title} has one, too, and the network is one`,
      `that of ${first.title} is used`,
    );
  }
}

interface Surroundings {
  readonly from: Conversion["from"];
  readonly configs: ConfigMaps;
  readonly calico: CalicoNetwork;
  readonly ledger: Ledger;
  readonly draft: Draft;
}

function readAgents(agents: readonly Agent[], { from, configs, calico, ledger, draft }: Surroundings): void {
  const usable = agents.filter(({ problem }) => problem === undefined);
  const settings = usable.flatMap(({ object, flanneld, calicoNode }) => {
    const own: (AgentSettings & { readonly object: ObjectReader })[] = [];
    if (flanneld !== undefined) own.push({ object, ...convertFlanneld(object, flanneld, configs, ledger) });
    if (calicoNode !== undefined) {
      const felix = calico.readContainer(object, calicoNode, configs, from === "canal");
      const [flannel] = own;
      if (flannel === undefined) own.push({ object, ...felix });
      else own[0] = { ...flannel, env: [...flannel.env, ...felix.env] };
    }
    return own;
  });
  const placements = usable.map(({ object }) => ({ object, placement: readPlacement(object, usable.length > 1) }));
  const [first, ...others] = placements;
  draft.pod = first?.placement ?? {};
  for (const { object, placement } of others) {
    if (JSON.stringify(placement) === JSON.stringify(first?.placement)) continue;
    const subject = { object: object.title, name: "placement", value: placement };
    ledger.refuse(
      subject,
      `it differs from that of ${first?.object.title}, and Twill's DaemonSet is one`,
      `that of ${first?.object.title} is used`,
    );
  }
  mergeAgents(settings, draft, ledger);
  const [leader] = usable;
  if (from === "calico" && leader !== undefined) calico.write(leader.object, draft);
  else calico.leaveOut("net-conf.json has the network, and flannel's options say how packets cross nodes");
}

/** After the network, for an MTU depends on its backend. */
function readConfigMaps(configs: readonly ObjectReader[], ledger: Ledger, draft: Draft): void {
  for (const config of configs) {
    const data = config.at("data");
    for (const key of Object.keys(isMapping(data) ? data : {})) {
      const path = ["data", key];
      if (key === "veth_mtu") {
        config.claim(path);
        carryPodMtu(config.subject(path, key), ledger, draft);
      } else if (key === "cni-conf.json" || key === "cni_network_config") carryCniConfig(config, path, ledger, draft);
      else if (config.title === "ConfigMap kubernetes-services-endpoint") {
        config.note(path, "covered", "read as a variable, see there", key);
      } else if (Object.hasOwn(readElsewhere, key)) nameVariable(config, path, readElsewhere[key] ?? "", ledger);
      else if (key === "typha_service_name") config.note(path, "covered", "Twill needs no Typha", key);
      else if (key.startsWith("etcd_"))
        config.note(path, "left-out", "of the etcd that Calico or flannel kept its state in", key);
    }
  }
}

/** Keys of Canal's and Calico's ConfigMap that containers read as variables. */
const readElsewhere: Readonly<Record<string, string>> = {
  canal_iface: "FLANNELD_IFACE",
  masquerade: "FLANNELD_IP_MASQ",
  calico_backend: "CALICO_NETWORKING_BACKEND",
};

function nameVariable(config: ObjectReader, path: Path, variable: string, ledger: Ledger): void {
  const read = ledger.findings.some(({ name }) => name === variable);
  if (read) config.note(path, "covered", `read as ${variable}, see there`, String(path.at(-1)));
  else config.note(path, "left-out", `no container reads it as ${variable}, so it has no effect`, String(path.at(-1)));
}

const policyKinds = [
  "NetworkPolicy",
  "GlobalNetworkPolicy",
  "StagedNetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "Tier",
  "HostEndpoint",
  "NetworkSet",
  "GlobalNetworkSet",
  "Profile",
];
const bgpKinds = ["BGPConfiguration", "BGPPeer", "BGPFilter"];

/** What is safe with Calico and would be open with Twill must not go unnoticed. */
function namePolicy(
  from: Conversion["from"],
  agents: readonly Agent[],
  objects: readonly { readonly kind: string; readonly reader: ObjectReader }[],
  ledger: Ledger,
): void {
  const reason = "Twill enforces policy in a later version: pods that a policy shields could be reached by all";
  const instead = "policies have no effect";
  const name = "network-policy";
  const [agent] = agents;
  if (from !== "flannel" && agent !== undefined)
    ledger.refuse({ object: agent.object.title, name, value: "calico-node" }, reason, instead);
  for (const { object } of agents) {
    const netpol = containersOf(object, "containers").find(({ value }) => value.name === "kube-network-policies");
    if (netpol !== undefined) object.refuse(netpol.path, reason, instead, name);
  }
  for (const { kind, reader } of objects) {
    if (policyKinds.includes(kind)) reader.refuse(["spec"], reason, instead, name);
    if (bgpKinds.includes(kind))
      reader.refuse(
        ["spec"],
        "BGP comes in a later version: routers outside learn no routes to pods",
        "routers are told nothing",
        "bgp",
      );
  }
}

function finish(object: ManifestObject, reader: ObjectReader, agents: readonly Agent[]) {
  const agent = agents.find((candidate) => candidate.object === reader);
  if (agent?.problem !== undefined) return reader.finish(unusable(agent.problem));
  if (agent !== undefined) return reader.finish([...containerRules(agent), ...daemonSet]);
  if (object.kind === "CustomResourceDefinition") {
    // Thousands of values that describe a kind of objects, and nothing of this cluster.
    reader.note(["spec"], "covered", "a kind of objects that Twill does not need", "the whole definition");
  }
  reader.finish(sceneryOf(object.kind));
}
