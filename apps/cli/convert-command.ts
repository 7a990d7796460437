import { readFileSync } from "node:fs";
import { TwillError } from "../../src/base/errors.ts";
import { convert } from "../../src/intent/convert/convert.ts";
import type { Conversion } from "../../src/intent/convert/finding.ts";
import { choice, type FlagSpec, list, optional, withLetter } from "../flags.ts";
import { command, type Output } from "./command.ts";
import { convertReport } from "./convert-report.ts";
import { paint } from "./status-text.ts";

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
    choice(
      "report",
      ["report", "net-conf", "flags", "json"] as const,
      "what is printed: everything for people, one part, or everything for programs",
    ),
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
  twill convert -f kube-flannel.yml -o net-conf | twill config set -
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
function write(conversion: Conversion, format: "report" | "net-conf" | "flags" | "json", output: Output): number {
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
      output.out(flags.map((flag) => `${flag}\n`).join(""));
      break;
    case "json":
      output.out(`${JSON.stringify(conversion, null, 2)}\n`);
      break;
    default:
      output.out(
        `\nnet-conf.json\n\n${netConf.trimEnd()}\n\nFlags of twill-agent\n\n${flags.map((flag) => `${flag}\n`).join("")}`,
      );
  }
  return 0;
}
