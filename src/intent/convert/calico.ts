import type { Family } from "../../base/address.ts";
import { TwillError } from "../../base/errors.ts";
import { type Prefix, parsePrefix } from "../../base/prefix.ts";
import { parseNetConf } from "../flannel/net-conf.ts";
import { networkFields } from "../flannel/network-fields.ts";
import { writeObject } from "../schema.ts";
import { carryAutodetection } from "./autodetection.ts";
import {
  type Crossing,
  carryMasquerade,
  crossingOf,
  nameOthers,
  type PoolField,
  type PoolSettings,
  poolNetwork,
  subnetLengthOf,
} from "./calico-pool.ts";
import { convertCalicoVariable, convertFelix, type FelixState } from "./calico-variables.ts";
import type { Draft } from "./draft.ts";
import { Flags } from "./draft.ts";
import { type ConfigMaps, readEnvironment, subjectOf, type Variable } from "./environment.ts";
import { type AgentSettings, apiServer } from "./flanneld-container.ts";
import { isMapping, type Path } from "./leaves.ts";
import type { Ledger, ObjectReader, Subject } from "./ledger.ts";
import { carryPodMtu } from "./pod-mtu.ts";

interface Pool {
  readonly family: Family;
  readonly settings: PoolSettings;
}

/** What all of Calico's objects and variables say together of the network. With flannel beside it (Canal) nothing here is of use. */
export class CalicoNetwork {
  readonly felix: FelixState = { mtus: [] };
  readonly #ledger: Ledger;
  /** --network: said by the user, where no file says it. */
  readonly #fallback: string | undefined;
  readonly #fromObjects: Pool[] = [];
  readonly #fromVariables: Pool[] = [];
  #noDefaultPools = false;
  #withoutIpv4 = false;
  #policyOnly: Subject | undefined;

  constructor(ledger: Ledger, network: string | undefined) {
    this.#ledger = ledger;
    this.#fallback = network;
  }

  readFelixConfiguration(object: ObjectReader): void {
    for (const [name, value] of Object.entries(mapping(object.at("spec")))) {
      const path = ["spec", name];
      object.claim(path);
      const subject = object.subject(path, `felix.${name}`);
      convertFelix(name, { text: String(value), subject, ledger: this.#ledger, flags: new Flags(), felix: this.felix });
    }
  }

  readPool(object: ObjectReader): void {
    const cidr = object.at("spec", "cidr");
    const settings: PoolSettings = {};
    for (const field of poolFields) {
      const value = object.at("spec", field);
      if (value === undefined) continue;
      object.claim(["spec", field]);
      settings[field] = {
        text: typeof value === "string" ? value : JSON.stringify(value),
        subject: object.subject(["spec", field], `${object.title.replace(/^IPPool /, "")}.${field}`),
      };
    }
    if (settings.disabled?.text === "true") {
      for (const said of Object.values(settings)) this.#ledger.note(said.subject, "left-out", "the pool is disabled");
      return;
    }
    this.#fromObjects.push({ family: String(cidr).includes(":") ? 6 : 4, settings });
  }

  /** calico-node's container. @param canal flannel makes the network, Calico the policy. */
  readContainer(object: ObjectReader, path: Path, configs: ConfigMaps, canal: boolean): AgentSettings {
    const variables = readEnvironment(object, path, configs, this.#ledger);
    const flags = new Flags();
    const env: unknown[] = [];
    for (const variable of [...variables.values()]) {
      if (variable.from?.startsWith("ConfigMap ") !== true) continue;
      const reason = `its value stands in ${variable.from}; give that file, too`;
      this.#ledger.refuse(subjectOf(object, variable), reason, "it is left out");
      variables.delete(variable.name);
    }
    for (const words of ["command", "args"]) {
      if (object.at(...path, words) !== undefined) object.note([...path, words], "covered", "Twill's own image");
    }
    for (const [family, prefix] of [
      [4, "CALICO_IPV4POOL_"],
      [6, "CALICO_IPV6POOL_"],
    ] as const) {
      const settings = poolOf(object, variables, prefix);
      if (Object.keys(settings).length > 0) this.#fromVariables.push({ family, settings });
    }
    this.#noDefaultPools = variables.get("NO_DEFAULT_POOLS")?.value === "true";
    for (const variable of variables.values()) {
      if (/^CALICO_IPV[46]POOL_/.test(variable.name) && poolVariables[variable.name.slice(16)] !== undefined) continue;
      if (apiServer.includes(variable.name)) {
        env.push(variable.entry);
        this.#ledger.note(subjectOf(object, variable), "carried", "environment of the agent");
      } else this.#readVariable(object, variable, flags, canal);
    }
    return { flags, env };
  }

  #readVariable(object: ObjectReader, variable: Variable, flags: Flags, canal: boolean) {
    const ledger = this.#ledger;
    const subject = subjectOf(object, variable);
    const text = variable.value ?? "";
    switch (variable.name) {
      case "CALICO_NETWORKING_BACKEND":
        if (canal) ledger.note(subject, "covered", "flannel makes the network");
        else if (text === "none") this.#policyOnly = subject;
        else if (text === "vxlan") ledger.note(subject, "covered", "the backend is vxlan");
        else
          ledger.note(
            subject,
            "changed",
            "BGP comes in a later version; nodes learn each other's subnets from the datastore",
          );
        return;
      case "IP":
      case "IP6":
        return this.#readAddress(subject, variable, flags, canal);
      case "IP_AUTODETECTION_METHOD":
      case "IP6_AUTODETECTION_METHOD":
        if (canal) return ledger.note(subject, "left-out", "of Calico's BGP, which is off; flannel's --iface decides");
        if (variable.name === "IP6_AUTODETECTION_METHOD" && this.#sawMethod) {
          return ledger.note(
            subject,
            "left-out",
            "Twill has one interface for both families, that of IP_AUTODETECTION_METHOD",
          );
        }
        this.#sawMethod = true;
        return carryAutodetection(subject, flags, ledger);
      default:
        convertCalicoVariable(variable.name, { text, subject, ledger, flags, felix: this.felix });
    }
  }

  #sawMethod = false;

  #readAddress(subject: Subject, variable: Variable, flags: Flags, canal: boolean) {
    const ledger = this.#ledger;
    const text = variable.value ?? "";
    const family = variable.name === "IP" ? 4 : 6;
    if (canal || text === "" || text === "autodetect" || variable.value === undefined) {
      return ledger.note(
        subject,
        "covered",
        "the address of the underlay interface, or the one that other nodes are told by --public-ip",
      );
    }
    if (text === "none") {
      if (family === 4) this.#withoutIpv4 = true;
      return ledger.note(subject, family === 4 ? "carried" : "covered", `no IPv${family}`);
    }
    const address = text.split("/")[0] ?? "";
    flags.set(family === 4 ? "public-ip" : "public-ipv6", address);
    ledger.note(subject, "carried", `--public-ip${family === 4 ? "" : "v6"}; one DaemonSet gives it to every node`);
  }

  /** The network, when flannel does not make it: net-conf.json and --ip-masq. */
  write(object: ObjectReader, draft: Draft) {
    const ledger = this.#ledger;
    if (this.#policyOnly !== undefined) {
      const why = "Calico only does policy here, and something else joins the pods: convert that one's manifest";
      if (!ledger.refuse(this.#policyOnly, why, "the pools say how packets cross nodes")) {
        return this.leaveOut("Calico only does policy here");
      }
    }
    const chosen = this.#choose();
    const networks = chosen.flatMap((pool) => {
      const network = poolNetwork(pool.family, pool.settings, ledger);
      return network === undefined ? [] : [{ ...pool, network }];
    });
    const said = networks.find(({ family }) => family === 4);
    if (this.#fallback !== undefined && said !== undefined) {
      throw new TwillError("invalid", `--network: the manifest says ${said.network}`, { remedy: "leave it out" });
    }
    const missing =
      networks.some(({ family }) => family === 4) || this.#withoutIpv4 ? undefined : this.#missingNetwork(object);
    const main = chosen[0];
    const crossing = main === undefined ? undefined : crossingOf(main.settings, ledger);
    for (const { settings } of chosen.slice(1)) this.#nameSecondCrossing(settings, crossing);
    const ranges = [
      ...networks,
      ...(missing === undefined ? [] : [{ family: 4 as const, settings: {}, network: missing }]),
    ];
    for (const { settings } of chosen) nameOthers(settings, ledger);
    const lengths = new Map(chosen.map((pool) => [pool.family, lengthOfPool(pool, ranges, ledger)]));
    carryMasquerade(chosen.length > 0 ? chosen : [{ family: 4, settings: {} }], draft.flags, ledger);
    const v4 = ranges.find(({ family }) => family === 4)?.network;
    const v6 = ranges.find(({ family }) => family === 6)?.network;
    if (v4 === undefined && !(this.#withoutIpv4 && v6 !== undefined)) {
      for (const subject of this.felix.mtus) ledger.note(subject, "left-out", "there is no network to say it of");
      return;
    }
    const written = writeObject(networkFields, {
      EnableIPv4: v4 === undefined ? false : undefined,
      EnableIPv6: v6 === undefined ? undefined : true,
      Network: v4,
      SubnetLen: v4 === undefined ? undefined : lengths.get(4),
      IPv6Network: v6,
      IPv6SubnetLen: v6 === undefined ? undefined : lengths.get(6),
      Backend: this.#backend(crossing),
    });
    draft.netConf = `${JSON.stringify(written, null, 2)}\n`;
    parseNetConf(draft.netConf, { source: "net-conf.json made of Calico's pools" });
    for (const subject of this.felix.mtus) carryPodMtu(subject, ledger, draft);
  }

  /** Something else makes the network: what was read of pools and tunnels is named all the same. */
  leaveOut(reason: string): void {
    for (const { settings } of [...this.#fromObjects, ...this.#fromVariables]) {
      for (const said of Object.values(settings)) this.#ledger.note(said.subject, "left-out", reason);
    }
    for (const subject of this.felix.mtus) this.#ledger.note(subject, "left-out", reason);
  }

  /** One pool a family: an IPPool before the variables, of which Calico makes a pool only where there is none. */
  #choose(): readonly Pool[] {
    const chosen: Pool[] = [];
    for (const family of [4, 6] as const) {
      const [first, ...more] = this.#fromObjects.filter((pool) => pool.family === family);
      for (const { settings } of more) {
        for (const said of Object.values(settings)) {
          this.#ledger.refuse(
            said.subject,
            "Twill has one network a family, and this is a second pool",
            "it is left out",
          );
        }
      }
      const variables = this.#fromVariables.find((pool) => pool.family === family);
      if (variables !== undefined && (first !== undefined || this.#noDefaultPools)) {
        for (const said of Object.values(variables.settings)) {
          this.#ledger.note(
            said.subject,
            "left-out",
            first === undefined
              ? "NO_DEFAULT_POOLS is true"
              : `${first.settings.cidr?.subject.object ?? "an IPPool"} says it; Calico makes no pool of this one`,
          );
        }
      }
      const pool = first ?? (this.#noDefaultPools ? undefined : variables);
      if (pool === undefined) continue;
      // An IPv6 network is made only of a written one; settings alone do not switch IPv6 on.
      if (family === 6 && pool.settings.cidr === undefined) {
        for (const said of Object.values(pool.settings))
          this.#ledger.note(said.subject, "left-out", "no IPv6 pool is written here");
      } else chosen.push(pool);
    }
    return chosen;
  }

  #missingNetwork(object: ObjectReader): Prefix | undefined {
    const subject = { object: object.title, name: "CALICO_IPV4POOL_CIDR", value: this.#fallback ?? "(not given)" };
    if (this.#fallback !== undefined) {
      this.#ledger.note(subject, "carried", "Network of net-conf.json, by --network");
      return parsePrefix(this.#fallback);
    }
    const why =
      "Calico then takes kubeadm's pod network; `kubectl get ippools -o yaml` shows it: give that file, too, or say --network CIDR";
    return this.#ledger.refuse(subject, why, "192.168.0.0/16 is used, Calico's last resort")
      ? parsePrefix("192.168.0.0/16")
      : undefined;
  }

  #nameSecondCrossing({ ipipMode, vxlanMode }: PoolSettings, crossing: Crossing | undefined): void {
    const used = crossing?.directRouting === true ? "vxlan with DirectRouting" : "vxlan";
    for (const said of [ipipMode, vxlanMode]) {
      if (said !== undefined)
        this.#ledger.note(said.subject, "changed", `${used}, as the IPv4 pool: one backend serves both families`);
    }
  }

  #backend(crossing: Crossing | undefined): Record<string, unknown> {
    // Calico's default port, which firewalls between nodes let through already.
    const port = this.felix.port ?? (crossing?.vxlan === true ? 4789 : undefined);
    return {
      Type: "vxlan",
      ...(this.felix.vni !== undefined && { VNI: this.felix.vni }),
      ...(port !== undefined && { Port: port }),
      ...(crossing?.directRouting === true && { DirectRouting: true }),
    };
  }
}

const poolFields: readonly PoolField[] = [
  "cidr",
  "ipipMode",
  "vxlanMode",
  "natOutgoing",
  "blockSize",
  "nodeSelector",
  "namespaceSelector",
  "disableBGPExport",
  "allowedUses",
  "assignmentMode",
  "disabled",
];

const poolVariables: Readonly<Record<string, PoolField>> = {
  CIDR: "cidr",
  IPIP: "ipipMode",
  VXLAN: "vxlanMode",
  NAT_OUTGOING: "natOutgoing",
  BLOCK_SIZE: "blockSize",
  NODE_SELECTOR: "nodeSelector",
  DISABLE_BGP_EXPORT: "disableBGPExport",
};

function poolOf(object: ObjectReader, variables: ReadonlyMap<string, Variable>, prefix: string): PoolSettings {
  const settings: PoolSettings = {};
  for (const [suffix, field] of Object.entries(poolVariables)) {
    const variable = variables.get(prefix + suffix);
    if (variable !== undefined) settings[field] = { text: variable.value ?? "", subject: subjectOf(object, variable) };
  }
  return settings;
}

const mapping = (value: unknown): Readonly<Record<string, unknown>> => (isMapping(value) ? value : {});

function lengthOfPool(
  pool: Pool,
  ranges: readonly { readonly family: Family; readonly network: Prefix }[],
  ledger: Ledger,
): number | undefined {
  const network = ranges.find(({ family }) => family === pool.family)?.network;
  if (network !== undefined) return subnetLengthOf(network, pool.settings, ledger);
  if (pool.settings.blockSize !== undefined)
    ledger.note(pool.settings.blockSize.subject, "left-out", "there is no network of this family");
  return undefined;
}
