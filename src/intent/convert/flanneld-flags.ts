import { tryAddress } from "../../base/address.ts";
import { interfaceNameProblem } from "../interface-name.ts";
import { nearest } from "../nearest.ts";
import type { Flags } from "./draft.ts";
import { goBoolean } from "./go-flags.ts";
import type { Ledger, Subject } from "./ledger.ts";
import { expressionProblem } from "./regular-expression.ts";

interface Place {
  readonly value: string;
  readonly subject: Subject;
  readonly flags: Flags;
  readonly ledger: Ledger;
}

type Handler = (place: Place) => void;

const note =
  (outcome: "covered" | "left-out", reason: string): Handler =>
  ({ ledger, subject }) =>
    ledger.note(subject, outcome, reason);

/** The same flag of twill-agent, unless `problem` has something against the value. */
const same =
  (
    flag: string,
    problem: (value: string) => string | undefined = () => undefined,
    instead = "Twill's default is used",
  ): Handler =>
  ({ ledger, subject, flags, value }) => {
    if (value === "") return ledger.note(subject, "covered", "empty, so the default holds");
    const wrong = value.includes("$(") ? undefined : problem(value);
    if (wrong !== undefined) return void ledger.refuse(subject, wrong, instead);
    flags.add(flag, value);
    ledger.note(subject, "carried", `--${flag}`);
  };

const address = (family?: 4 | 6) => (value: string) => {
  const parsed = tryAddress(value);
  if (parsed === undefined) return "it is not an address";
  return family !== undefined && parsed.includes(":") !== (family === 6)
    ? `it is not an IPv${family} address`
    : undefined;
};

const wholeNumber = (least: number, most: number) => (value: string) =>
  /^\d+$/.test(value) && Number(value) >= least && Number(value) <= most
    ? undefined
    : `Twill takes ${least} to ${most}`;

const boolean =
  (handle: (on: boolean, place: Place) => void): Handler =>
  (place) => {
    const on = goBoolean(place.value);
    if (on === undefined) {
      place.ledger.refuse(
        place.subject,
        `"${place.value}" is neither true nor false: flanneld does not start with it`,
        "it is left out",
      );
    } else handle(on, place);
  };

/** Carrying the port over would leave the manifest's probes without an answer, and the kubelet would end the agent again and again. */
const ownProbes = note(
  "left-out",
  "Twill's manifest probes 127.0.0.1:9099; if something else asks flanneld's port, set --healthz-ip and --healthz-port and the probes together",
);

const etcd: Handler = ({ ledger, subject }) =>
  ledger.note(subject, "left-out", "about the etcd that flanneld keeps its subnets in; Twill keeps them in Kubernetes");

const interfaceOrAddress = (value: string) =>
  tryAddress(value) === undefined && interfaceNameProblem(value) !== undefined
    ? interfaceNameProblem(value)
    : undefined;

const serverProblem = (value: string) =>
  URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) ? undefined : "it is not https://ADDRESS:PORT";

const defaultSubnetFile = "/run/flannel/subnet.env";

/** Flags of flanneld, v0.7 to v0.27 (its Documentation/configuration.md and --help). */
const handlers: Readonly<Record<string, Handler>> = {
  iface: same("iface", interfaceOrAddress, "the interface of the default route is used"),
  "iface-regex": same("iface-regex", expressionProblem, "the interface of the default route is used"),
  "iface-can-reach": same("iface-can-reach", address(), "the interface of the default route is used"),
  "public-ip": same("public-ip", address(4), "the interface's address is used"),
  "public-ipv6": same("public-ipv6", address(6), "the interface's address is used"),
  "subnet-file": ({ value, subject, flags, ledger }) => {
    if (value === defaultSubnetFile || value === "")
      return ledger.note(subject, "covered", "Twill writes the same file");
    flags.set("subnet-file", value);
    const mounted = value.startsWith("/run/flannel/");
    ledger.note(
      subject,
      "carried",
      mounted ? "--subnet-file" : "--subnet-file; mount its folder into Twill's pods, too",
    );
  },
  "subnet-lease-renew-margin": same("subnet-lease-renew-margin", wholeNumber(1, 1439)),
  "ip-masq": boolean((on, { ledger, subject, flags }) => {
    flags.set("ip-masq", String(on));
    ledger.note(subject, "carried", "--ip-masq");
  }),
  "kube-subnet-mgr": boolean((on, { ledger, subject }) => {
    if (on)
      ledger.note(subject, "covered", "Twill's agents take their Nodes' podCIDRs, and write Flannel's annotations");
    else ledger.refuse(subject, withoutKubernetes, leasedAnew);
  }),
  "net-config-path": note("covered", "net-conf.json is read from the ConfigMap, wherever flanneld had it mounted"),
  "healthz-port": ownProbes,
  "healthz-ip": ownProbes,
  v: ({ ledger, subject, flags, value }) => {
    if (!/^\d+$/.test(value) || Number(value) < 3)
      return ledger.note(subject, "covered", "Twill's level info says as much");
    flags.set("log-level", "debug");
    ledger.note(subject, "changed", "--log-level=debug; `twill log-level` changes it at run time");
  },
  "iptables-resync": note("covered", "Twill is told of changes by the kernel and mends them at once"),
  "iptables-forward-rules": boolean((on, { ledger, subject }) => {
    if (on) return ledger.note(subject, "covered", "Twill accepts what is forwarded from and to pods in its own table");
    ledger.note(
      subject,
      "left-out",
      "Twill's table accepts pods' traffic; it cannot overrule what another table drops, so your rules hold",
    );
  }),
  "set-node-network-unavailable": boolean((on, { ledger, subject }) =>
    ledger.note(
      subject,
      on ? "covered" : "left-out",
      on
        ? "Twill keeps the condition NetworkUnavailable of its Node"
        : "Twill keeps the condition NetworkUnavailable of its Node: pods are not scheduled to a node that cannot serve them",
    ),
  ),
  "kube-api-url": same("api-server", serverProblem, "the API server is found by KUBERNETES_SERVICE_HOST and _PORT"),
  "kubeconfig-file": note("left-out", "Twill's manifest uses its service account"),
  "kube-annotation-prefix": ({ ledger, subject, value }) => {
    if (value === "flannel.alpha.coreos.com" || value === "")
      return ledger.note(subject, "covered", "Twill uses the same prefix");
    ledger.note(
      subject,
      "left-out",
      "Twill's agents read and write annotations of flannel.alpha.coreos.com/: flannelds of this prefix and they do not see each other",
    );
  },
  "use-multi-cluster-cidr": note(
    "left-out",
    "MultiClusterCIDR was never finished in Kubernetes and is removed; subnets come from podCIDR",
  ),
  ...Object.fromEntries(
    ["endpoints", "prefix", "keyfile", "certfile", "cafile", "username", "password"].map((name) => [
      `etcd-${name}`,
      etcd,
    ]),
  ),
  ...Object.fromEntries(
    [
      "logtostderr",
      "alsologtostderr",
      "log_dir",
      "log_backtrace_at",
      "stderrthreshold",
      "vmodule",
      "log_file",
      "skip_headers",
    ].map((name) => [name, note("covered", "Twill logs to its standard error")]),
  ),
  help: note("left-out", "flanneld would only print its help"),
  version: note("left-out", "flanneld would only print its version"),
};

export const withoutKubernetes =
  "without --kube-subnet-mgr flanneld keeps network and subnets in etcd; Twill reads etcd in a later version";
export const leasedAnew = "the nodes' subnets come from Kubernetes' podCIDR, so pods get other addresses";

/** Flags that take no value, or one behind "=". */
export const flanneldBooleans: ReadonlySet<string> = new Set([
  "ip-masq",
  "kube-subnet-mgr",
  "iptables-forward-rules",
  "set-node-network-unavailable",
  "use-multi-cluster-cidr",
  "logtostderr",
  "alsologtostderr",
  "skip_headers",
  "help",
  "version",
]);

/** What becomes of one flag of flanneld's, from its command line or from FLANNELD_… in its environment. */
export function convertFlanneldFlag(name: string, value: string, subject: Subject, flags: Flags, ledger: Ledger) {
  const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
  if (handler !== undefined) return handler({ value, subject, flags, ledger });
  const meant = nearest(name, Object.keys(handlers));
  const hint = meant === undefined ? "" : `; if you meant --${meant}, mend it`;
  ledger.note(subject, "unknown", `not a flag of flanneld's that Twill knows${hint}`);
}

/** FLANNELD_IFACE_REGEX → iface-regex; undefined for other variables. */
export const flagOfVariable = (name: string): string | undefined =>
  name.startsWith("FLANNELD_") ? name.slice("FLANNELD_".length).toLowerCase().replaceAll("_", "-") : undefined;
