import { parseJson, plainValue } from "../../base/json.ts";
import type { Draft } from "./draft.ts";
import { formatPath, isMapping, leavesOf, matches, type Path, valueAt } from "./leaves.ts";
import type { Ledger, ObjectReader, Subject } from "./ledger.ts";
import { carryPodMtu } from "./pod-mtu.ts";

interface Entry {
  readonly subject: Subject;
  readonly value: unknown;
  readonly draft: Draft;
  readonly ledger: Ledger;
}

type Handler = (entry: Entry) => void;

const covered =
  (reason: string): Handler =>
  ({ ledger, subject }) =>
    ledger.note(subject, "covered", reason);

/** Covered when it is `expected`; otherwise refused. */
const only =
  (expected: unknown, reason: string, refusal: string, instead: string): Handler =>
  ({ ledger, subject, value }) => {
    if (value === expected) ledger.note(subject, "covered", reason);
    else ledger.refuse(subject, refusal, instead);
  };

const mtu: Handler = ({ subject, ledger, draft }) => carryPodMtu(subject, ledger, draft);

/** Patterns of leaves inside a plugin's entry, by the plugin's type. */
const plugins: Readonly<Record<string, readonly (readonly [string, Handler])[]>> = {
  flannel: [
    [
      "type",
      ({ ledger, subject, draft }) => {
        draft.flags.set("attachment", "bridge");
        ledger.note(
          subject,
          "carried",
          "--attachment=bridge, as Flannel's plugin joins pods; without the flag Twill routes each pod singly",
        );
      },
    ],
    [
      "delegate.hairpinMode",
      only(
        true,
        "Twill's bridge has it on",
        "Twill's bridge always has hairpin on",
        "pods reach themselves through a Service",
      ),
    ],
    [
      "delegate.isDefaultGateway",
      only(
        true,
        "pods get their default route",
        "pods of Twill's always have a default route",
        "pods get a default route",
      ),
    ],
    [
      "delegate.isGateway",
      only(true, "the bridge is the pods' gateway", "the bridge is always the pods' gateway", "it is their gateway"),
    ],
    ["delegate.forceAddress", covered("Twill's bridge takes the node's new address by itself")],
    [
      "delegate.ipMasq",
      only(
        false,
        "the agent masquerades",
        "the agent masquerades for all pods, see --ip-masq",
        "the agent's --ip-masq decides",
      ),
    ],
    ["delegate.promiscMode", only(false, "off", "Twill's bridge is not promiscuous", "it is not")],
    [
      "delegate.type",
      only(
        "bridge",
        "Twill's attachment bridge",
        "Twill joins pods of the cluster's network by bridge or routed only",
        "bridge is used",
      ),
    ],
    [
      "delegate.bridge",
      only("cni0", "the same bridge", "Twill's flag has no name for the bridge", "the bridge is cni0"),
    ],
    ["delegate.mtu", mtu],
    [
      "subnetFile",
      ({ ledger, subject, value, draft }) => {
        draft.flags.set("subnet-file", String(value));
        ledger.note(subject, "carried", "--subnet-file");
      },
    ],
    ["dataDir", covered("Twill's plugin keeps nothing; the agent does")],
  ],
  calico: [
    ["type", covered("a pod is joined by a routed veth, as with Calico's plugin")],
    ["log_level", covered("the plugin hands on to the agent, which logs")],
    ["log_file_path", covered("the plugin hands on to the agent, which logs")],
    ["log_file_max_size", covered("the plugin hands on to the agent, which logs")],
    ["log_file_max_age", covered("the plugin hands on to the agent, which logs")],
    ["log_file_max_count", covered("the plugin hands on to the agent, which logs")],
    [
      "datastore_type",
      only(
        "kubernetes",
        "as Twill's manifest",
        "Calico kept its state in etcd; Twill's manifest keeps it in Kubernetes",
        "it is kept in Kubernetes",
      ),
    ],
    ["etcd_endpoints", covered("Twill's plugin asks the agent, no datastore")],
    ["etcd_key_file", covered("Twill's plugin asks the agent, no datastore")],
    ["etcd_cert_file", covered("Twill's plugin asks the agent, no datastore")],
    ["etcd_ca_cert_file", covered("Twill's plugin asks the agent, no datastore")],
    ["nodename", covered("the agent knows its node")],
    ["mtu", mtu],
    [
      "ipam.type",
      ({ ledger, subject, value }) => {
        if (value === "host-local")
          return ledger.note(subject, "covered", "the agent gives out the addresses of the node's subnet");
        ledger.note(
          subject,
          "changed",
          "each node has one subnet, out of which the agent gives addresses; Calico cut the pool into blocks",
        );
      },
    ],
    [
      "ipam.subnet",
      only("usePodCidr", "subnets are Kubernetes' podCIDR", "subnets are Kubernetes' podCIDR", "podCIDR is used"),
    ],
    ["ipam.ranges.*.*.subnet", covered("subnets are Kubernetes' podCIDR, of each family of net-conf.json")],
    ["ipam.routes.**", covered("pods get a default route of each family")],
    ["ipam.assign_ipv4", covered("EnableIPv4 of net-conf.json")],
    ["ipam.assign_ipv6", covered("EnableIPv6 of net-conf.json")],
    ["policy.type", covered("policy is refused or accepted as a whole, see network-policy")],
    ["policy.k8s_auth_token", covered("Twill's plugin asks the agent, not the API server")],
    ["kubernetes.kubeconfig", covered("Twill's plugin asks the agent, not the API server")],
    ["kubernetes.k8s_api_root", covered("Twill's plugin asks the agent, not the API server")],
  ],
};

const chainable = ["portmap", "bandwidth", "tuning"];

/**
 * A CNI configuration out of a ConfigMap: a list of plugins, or the single plugin of old manifests. Calico's have placeholders in it
 * (__CNI_MTU__), which its installer fills in.
 * @throws TwillError `invalid`: it is no JSON.
 */
export function carryCniConfig(object: ObjectReader, path: Path, ledger: Ledger, draft: Draft): void {
  object.claim(path);
  const text = String(object.at(...path)).replace(/(?<!["\w/])__\w+?__(?!["\w/])/g, '"$&"');
  const key = String(path.at(-1));
  const root = plainValue(parseJson(text, { source: `${object.title}: ${key}` }).root);
  const list = isMapping(root) && Array.isArray(root.plugins);
  for (const { path: place, value } of leavesOf(root)) {
    const subject = { object: object.title, name: `${key}:${formatPath(root, place)}`, value };
    const inside = list && place[0] === "plugins" && place.length > 2 ? place.slice(2) : list ? undefined : place;
    const plugin = list ? valueAt(root, place.slice(0, 2)) : root;
    const type = isMapping(plugin) ? String(plugin.type) : "";
    const entry = { subject, value, draft, ledger };
    if (place.length === 1 && (place[0] === "name" || place[0] === "cniVersion")) {
      ledger.note(subject, "covered", "Twill installs a configuration of its own, 10-twill.conflist");
    } else if (inside === undefined) {
      ledger.note(subject, "unknown", "Twill installs a configuration of its own, without it");
    } else convertEntry(type, inside, entry);
  }
}

function convertEntry(type: string, path: Path, entry: Entry) {
  const { subject, value, ledger } = entry;
  if (chainable.includes(type)) return chain(type, path, entry);
  const known = plugins[type]?.find(([pattern]) => matches(pattern, path));
  if (known !== undefined) return known[1](entry);
  if (Object.hasOwn(plugins, type)) {
    ledger.note(subject, "unknown", `an option of the plugin ${type} that Twill does not know`);
  } else if (path.length === 1 && path[0] === "type") {
    const reason = `the agent chains ${chainable.join(", ")} only`;
    ledger.refuse({ ...subject, name: `plugin:${String(value)}` }, reason, "pods are made without it");
  } else ledger.note(subject, "left-out", `of the plugin ${type}, which is not chained`);
}

/** The agent chains these without options of their own. */
function chain(type: string, path: Path, { subject, value, draft, ledger }: Entry): void {
  const [first] = path;
  if (first === "type") {
    draft.flags.add("cni-chain", type);
    ledger.note(subject, "carried", `--cni-chain=${type}`);
  } else if (first === "capabilities") {
    ledger.note(subject, "covered", `the agent tells the runtime what ${type} can do`);
  } else if (type === "portmap" && first === "snat" && value === true) {
    ledger.note(subject, "covered", "the default of portmap");
  } else if (type === "tuning" || first === "snat") {
    ledger.refuse(subject, `the agent chains ${type} without options`, `${type} runs without it`);
  } else ledger.note(subject, "unknown", `the agent chains ${type} without options`);
}
