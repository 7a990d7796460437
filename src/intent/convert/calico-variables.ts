import type { Flags } from "./draft.ts";
import { goBoolean } from "./go-flags.ts";
import type { Ledger, Subject } from "./ledger.ts";

/** What calico-node's and Felix's settings, beside the pools', add up to. */
export interface FelixState {
  vni?: number;
  port?: number;
  /** MTUs written for tunnels and pods, to be carried when the backend is known. */
  readonly mtus: Subject[];
}

interface Place {
  readonly text: string;
  readonly subject: Subject;
  readonly ledger: Ledger;
  readonly flags: Flags;
  readonly felix: FelixState;
}

type Handler = (place: Place) => void;

const note =
  (outcome: "covered" | "left-out", reason: string): Handler =>
  ({ ledger, subject }) =>
    ledger.note(subject, outcome, reason);

/** Fine while it is off; `refusal` says what would be missing. */
const onlyOff =
  (refusal: string, instead: string): Handler =>
  ({ text, subject, ledger }) => {
    if (text === "" || goBoolean(text) === false || ["none", "disabled", "no", "off"].includes(text.toLowerCase())) {
      ledger.note(subject, "covered", "off");
    } else ledger.refuse(subject, refusal, instead);
  };

const oneOf =
  (harmless: readonly string[], reason: string, refusal: string, instead: string): Handler =>
  ({ text, subject, ledger }) => {
    if (harmless.includes(text.toLowerCase())) ledger.note(subject, "covered", reason);
    else ledger.refuse(subject, refusal, instead);
  };

const vxlanNumber =
  (key: "vni" | "port", most: number, field: string, hint: string): Handler =>
  ({ text, subject, ledger, felix }) => {
    const value = /^\d+$/.test(text) ? Number(text) : 0;
    if (!(value >= 1 && value <= most))
      return void ledger.refuse(subject, `${field} is 1 to ${most}`, "the default is used");
    felix[key] = value;
    ledger.note(subject, "carried", `${field} of net-conf.json, where the backend is vxlan${hint}`);
  };

const policyLater = note("left-out", "about policy, which comes in a later version; see network-policy");
const ownTable = note("covered", "Twill writes nf_tables of its own, by netlink, and is told of changes at once");
const metrics = note("left-out", "Twill's metrics stand on port 9099 of 127.0.0.1 (--healthz-ip, --healthz-port)");
const logs = note("covered", "Twill logs to its standard error; --log-level");
const typha = note("covered", "Twill needs no Typha");
const bgp = onlyOff("BGP comes in a later version", "nothing is announced to routers");

/** Felix's settings by their name in FelixConfiguration, in lower case: FELIX_VXLANVNI is vxlanVNI. */
const felixHandlers: Readonly<Record<string, Handler>> = {
  defaultendpointtohostaction: oneOf(
    ["accept", "return"],
    "pods reach their node",
    "pods could not reach their node, and can with Twill until it has policy",
    "pods reach their node",
  ),
  vxlanvni: vxlanNumber(
    "vni",
    0xffffff,
    "Backend.VNI",
    "; delete a vxlan.calico of this number first, the kernel has only one",
  ),
  vxlanport: vxlanNumber("port", 65535, "Backend.Port", ""),
  vxlanenabled: note("covered", "the pools say it"),
  ipipenabled: note("covered", "the pools say it"),
  ipv6support: note("covered", "EnableIPv6 of net-conf.json, by the pools"),
  healthenabled: note("covered", "the agent answers on /healthz and /readyz"),
  healthport: metrics,
  healthhost: metrics,
  prometheusmetricsenabled: metrics,
  prometheusmetricsport: metrics,
  prometheusmetricshost: metrics,
  wireguardenabled: onlyOff(
    "WireGuard comes in a later version, and nothing else here encrypts",
    "packets between nodes are not encrypted",
  ),
  wireguardenabledv6: onlyOff(
    "WireGuard comes in a later version, and nothing else here encrypts",
    "packets between nodes are not encrypted",
  ),
  bpfenabled: onlyOff(
    "Calico's eBPF stands in for kube-proxy; Twill has no Services yet, so kube-proxy must run",
    "kube-proxy must run",
  ),
  natoutgoingaddress: onlyOff("pods leave with their node's address", "they do so"),
  natportrange: onlyOff("the kernel chooses the ports", "it does so"),
  ...Object.fromEntries(
    [
      "iptablesrefreshinterval",
      "routerefreshinterval",
      "interfacerefreshinterval",
      "iptablesbackend",
      "nftablesmode",
      "iptableslocktimeoutsecs",
      "ipsetsrefreshinterval",
      "chaininsertmode",
      "iptablesmarkmask",
      "routetablerange",
    ].map((name) => [name, ownTable]),
  ),
  ...Object.fromEntries(
    ["logseverityscreen", "logseverityfile", "logseveritysys", "logfilepath", "logprefix", "bpfloglevel"].map(
      (name) => [name, logs],
    ),
  ),
  ...Object.fromEntries(
    [
      "typhak8sservicename",
      "typhak8snamespace",
      "typhaaddr",
      "typhacafile",
      "typhacertfile",
      "typhakeyfile",
      "typhacn",
    ].map((name) => [name, typha]),
  ),
  ...Object.fromEntries(
    [
      "failsafeinboundhostports",
      "failsafeoutboundhostports",
      "policysyncpathprefix",
      "endpointreportingenabled",
      "flowlogsflushinterval",
    ].map((name) => [name, policyLater]),
  ),
  usagereportingenabled: note("covered", "Twill reports to nobody"),
  xdpenabled: policyLater,
  vxlanmtu: ({ subject, felix }) => void felix.mtus.push(subject),
  vxlanmtuv6: ({ subject, felix }) => void felix.mtus.push(subject),
  ipinipmtu: note("left-out", "IP-in-IP comes in a later version; the MTU of pods comes from veth_mtu"),
  wireguardmtu: note("left-out", "WireGuard comes in a later version"),
};

const instead = "kept in Kubernetes";
const handlers: Readonly<Record<string, Handler>> = {
  DATASTORE_TYPE: oneOf(
    ["kubernetes"],
    "as Twill's manifest",
    "Calico keeps its state in etcd; Twill's manifest keeps it in Kubernetes",
    instead,
  ),
  CALICO_ROUTER_ID: bgp,
  AS: bgp,
  CALICO_ADVERTISE_CLUSTER_IPS: bgp,
  WAIT_FOR_DATASTORE: note("covered", "the agent waits, and works from its last known state meanwhile"),
  NODENAME: note("covered", "Twill's manifest gives the agent its node's name"),
  CALICO_K8S_NODE_REF: note("covered", "Twill's manifest gives the agent its node's name"),
  CLUSTER_TYPE: note("covered", "for Calico's usage statistics"),
  CALICO_DISABLE_FILE_LOGGING: logs,
  CALICO_STARTUP_LOGLEVEL: logs,
  CALICO_MANAGE_CNI: note("covered", "Twill's plugin has no credentials to renew"),
  CALICO_CNI_SERVICE_ACCOUNT: note("covered", "Twill's plugin has no credentials"),
  USE_POD_CIDR: note("covered", "subnets are Kubernetes' podCIDR"),
  DISABLE_NODE_IP_CHECK: note("covered", "two nodes of one address are named by `twill status`"),
  NO_DEFAULT_POOLS: note("covered", "the network is that of the IPPool objects"),
  SLEEP: note("covered", "of Calico's installer"),
};

/** A setting of Felix's, by its name in any case. */
export function convertFelix(name: string, place: Place): void {
  const key = name.toLowerCase();
  const handler = Object.hasOwn(felixHandlers, key) ? felixHandlers[key] : undefined;
  if (handler !== undefined) handler(place);
  else
    place.ledger.note(
      place.subject,
      "unknown",
      "a setting of Felix's that Twill does not know; look it up before you rely on the result",
    );
}

/** A variable of calico-node's that is not about pools or the node's address. */
export function convertCalicoVariable(name: string, place: Place) {
  if (name.startsWith("FELIX_")) return convertFelix(name.slice("FELIX_".length), place);
  const handler = name.startsWith("ETCD_")
    ? note("left-out", "of Calico's etcd; Twill keeps its state in Kubernetes")
    : Object.hasOwn(handlers, name)
      ? handlers[name]
      : undefined;
  if (handler !== undefined) handler(place);
  else place.ledger.note(place.subject, "unknown", "not a variable of calico-node's that Twill knows");
}
