import { readFileSync } from "node:fs";
import { TwillError } from "../../src/base/errors.ts";
import { convert } from "../../src/intent/convert/convert.ts";
import type { Conversion } from "../../src/intent/convert/finding.ts";
import { choice, type FlagSpec, list, optional, withLetter } from "../flags.ts";
import { command, type Output } from "./command.ts";
import { byHand, configMaps, helmValues } from "./convert-objects.ts";
import { convertReport } from "./convert-report.ts";
import { paint } from "./status-text.ts";

const formats = ["report", "net-conf", "flags", "configmaps", "values", "json"] as const;

/** Repeated, not cut at commas, which a path may have. */
const files: FlagSpec<readonly string[]> = {
  kind: "list",
  value: "FILE",
  letter: "f",
  help: "a manifest, or - for standard input; may be repeated",
  fallback: [],
  parse: (given) => [given],
};

const flags = {
  file: files,
  output: withLetter(
    "o",
    choice("report", formats, "what is printed: all for people, one part of it, or all for programs"),
  ),
  accept: list("convert although this has no safe equivalent; the report says what happens instead", "NAME"),
  network: optional("the pods' IPv4 network, where Calico's manifest leaves it to kubeadm", "CIDR"),
};

export const convertCommand = command({
  name: "convert",
  summary: "Flannel's, Canal's or Calico's manifest as Twill's configuration",
  help: `
Every value of the manifest is carried over, or named with the reason why not. Where there is no safe equivalent,
nothing is written, and the exit status is 1, until --accept NAME.

  twill convert -f kube-flannel.yml
  twill convert -f kube-flannel.yml -o configmaps | kubectl apply -f -    # after deploy/twill.yaml
  twill convert -f kube-flannel.yml -o values > values.yaml               # for deploy/helm/twill
  twill convert -f kube-flannel.yml -o net-conf | twill config set -      # without Kubernetes
  kubectl -n kube-flannel get configmap,daemonset -o yaml | twill convert -f -`,
  flags,
  run: ({ flags, rest }, output) => {
    const sources = [...flags.file, ...rest];
    if (sources.length === 0)
      throw new TwillError("invalid", "which manifest?", { remedy: "twill convert -f kube-flannel.yml" });
    const manifests = sources.map((source) => ({
      source: source === "-" ? "standard input" : source,
      text: read(source),
    }));
    const conversion = convert(manifests, {
      accept: flags.accept,
      ...(flags.network !== undefined && { network: flags.network }),
    });
    return write(conversion, flags.output, output);
  },
});

function read(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    const message = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new TwillError("io", message, { operation: "read", object: file });
  }
}

/** @returns the exit status: 1 while something is refused, and then no configuration is printed. */
function write(conversion: Conversion, format: (typeof formats)[number], output: Output): number {
  const { netConf, flags, findings } = conversion;
  const refused = [...new Set(findings.filter(({ outcome }) => outcome === "refused").map(({ name }) => name))];
  if (format === "report") output.out(convertReport(conversion, paint(output.colour)));
  if (refused.length > 0 || netConf === undefined) {
    const what = refused.length === 0 ? "there is no network in it" : `refused: ${refused.join(", ")}`;
    const hint = format === "report" ? "see above" : "without -o the report says why";
    output.error(`twill: ${what}; nothing is written (${hint})\n`);
    return 1;
  }
  switch (format) {
    case "net-conf":
      output.out(netConf.endsWith("\n") ? netConf : `${netConf}\n`);
      break;
    case "flags":
      output.out(lines(flags));
      break;
    case "configmaps":
      output.out(configMaps(conversion));
      break;
    case "values":
      output.out(helmValues(conversion));
      break;
    case "json":
      output.out(`${JSON.stringify(conversion, null, 2)}\n`);
      break;
    case "report":
      output.out(`\nnet-conf.json\n\n${netConf.trimEnd()}\n\nFlags of twill-agent\n\n${lines(flags)}`);
  }
  const rest = byHand(conversion);
  if (rest.length > 0 && format !== "json" && format !== "net-conf") {
    output.error(`add to Twill's DaemonSet by hand:\n${lines(rest.map((line) => `  ${line}`))}`);
  }
  return 0;
}

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");
