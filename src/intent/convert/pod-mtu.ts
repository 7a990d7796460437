import { parseNetConf } from "../flannel/net-conf.ts";
import type { Draft } from "./draft.ts";
import { isMapping } from "./leaves.ts";
import type { Ledger, Subject } from "./ledger.ts";

/** Bytes that VXLAN adds (RFC 7348 section 5): IPv4, and IPv6, by which Twill reckons as soon as pods have it. */
const overhead = { 4: 50, 6: 70 };

/**
 * An MTU written for the pods' interfaces. Twill's net-conf.json, like Flannel's, has that of the underlay, from which the tunnel's
 * bytes are subtracted.
 */
export function carryPodMtu(subject: Subject, ledger: Ledger, draft: Draft) {
  const text = String(subject.value);
  if (text === "__CNI_MTU__") return ledger.note(subject, "covered", "filled in from veth_mtu");
  if (text === "0" || text === "") {
    return ledger.note(subject, "covered", "Twill finds the MTU of the underlay itself");
  }
  const mtu = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  const written: unknown = draft.netConf === undefined ? undefined : JSON.parse(draft.netConf);
  if (!isMapping(written) || draft.netConf === undefined) {
    return ledger.note(subject, "left-out", "there is no network to say it of");
  }
  const network = parseNetConf(draft.netConf, { allowExtension: true });
  const name = Object.keys(written).find((key) => key.toLowerCase() === "backend") ?? "Backend";
  const added = overhead[network.ipv6 === undefined ? 4 : 6];
  const smallest = network.ipv6 === undefined ? 68 : 1280;
  const instead = "pods get the underlay's MTU, less what the backend adds";
  if (!(mtu >= smallest && mtu + added <= 65535)) {
    ledger.refuse(subject, `an MTU of pods is ${smallest} to ${65535 - added}`, instead);
    return;
  }
  if (network.backend.type !== "vxlan") {
    ledger.refuse(
      subject,
      `the backend ${network.backend.type} has no MTU option; pods could send more than ${mtu} bytes`,
      instead,
    );
    return;
  }
  const already = network.backend.mtu;
  if (already !== undefined && already <= mtu + added) {
    ledger.note(
      subject,
      already === mtu + added ? "covered" : "left-out",
      `Backend.MTU ${already} gives pods ${already - added}`,
    );
    return;
  }
  const backend = isMapping(written[name]) ? written[name] : { Type: "vxlan" };
  const kept = Object.fromEntries(Object.entries(backend).filter(([key]) => key.toLowerCase() !== "mtu"));
  draft.netConf = `${JSON.stringify({ ...written, [name]: { ...kept, MTU: mtu + added } }, null, 2)}\n`;
  ledger.note(subject, "carried", `Backend.MTU ${mtu + added}: of the underlay, ${added} bytes more than the pods'`);
}
