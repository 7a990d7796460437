/** The user's reference of all that can be configured, made from the schemas that read it: docs/configuration.md. */
import { ipamFields, pluginFields } from "../src/intent/cni/config-fields.ts";
import { backendFields, backendMeaning, laterBackends } from "../src/intent/flannel/backend-fields.ts";
import { networkFields } from "../src/intent/flannel/network-fields.ts";
import type { Schema } from "../src/intent/schema.ts";

const example = {
  Network: "10.244.0.0/16",
  EnableIPv6: true,
  IPv6Network: "fd00:10:244::/48",
  Backend: { Type: "vxlan", DirectRouting: true },
};

const pluginExample = {
  cniVersion: "1.1.0",
  name: "storage",
  plugins: [
    {
      type: "twill-cni",
      attachment: "macvlan",
      master: "eth1",
      ipam: { subnet: "192.168.7.0/24", rangeStart: "192.168.7.100", routes: [{ dst: "192.168.0.0/16" }] },
    },
  ],
};

export function configurationDocs(): string {
  return `# Configuration

<!-- Made by \`npm run docs\` from src/intent; changes belong there. -->

Twill reads Flannel's \`net-conf.json\` unchanged. How the nodes' pods are joined is said in the CNI configuration, which
the agent installs by itself; only networks beside the cluster's own need one written by hand. \`twill-agent --help\`
lists the agent's flags.

What is wrong is refused as a whole, naming file, line, field, value and what would be right. On a running cluster
the last good configuration stays in force, and \`twill status\` says so.

## The cluster's network: net-conf.json

${json(example)}

Field names are matched in any case (\`Directrouting\` is \`DirectRouting\`); two spellings of one field, unknown fields,
comments and trailing commas are refused. A field that is \`null\` counts as absent. Networks are written without host
bits. 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 0.0.0.0/8, fe80::/10, ff00::/8 and ::1 cannot be pod networks.

${table(networkFields)}

At least four subnets must fit into the network, as with Flannel, because the first is not leased unless \`SubnetMin\`
names it: with \`"SubnetMin": "10.0.0.0"\` all 65,536 subnets of 10.0.0.0/8 are leased, without it 65,535.

## Backends: how packets cross nodes

\`Backend\` holds \`Type\` (in any case) and the options of that type. Options of another type are refused.

${Object.entries(backendFields).map(backendSection).join("\n\n")}

### Later

${Object.keys(laterBackends).join(", ")} are backends of Flannel's that come in a later version of Twill; today they are refused.

## Additional networks: the plugin's CNI configuration

${json(pluginExample)}

Fields of an entry of type \`twill-cni\`. Unlike above, case matters here. Unknown fields are refused with CNI error 7.
CNI versions 0.1.0 to 1.1.0 are spoken.

${table(pluginFields)}

### ipam

${table(ipamFields)}
`;
}

function backendSection([type, fields]: [string, Schema]): string {
  const meaning = backendMeaning[type as keyof typeof backendMeaning];
  const options = Object.keys(fields).length === 0 ? "No options." : table(fields);
  return `### ${type}\n\n${meaning}\n\n${options}`;
}

function table(schema: Schema): string {
  const rows = Object.entries(schema).map(([name, field]) => [
    `\`${name}\``,
    field.range === undefined ? field.type : `${field.type}: ${field.range}`,
    field.required ? "required" : (field.default ?? "–"),
    field.meaning,
  ]);
  const lines = [["Field", "Type and range", "When absent", "Meaning"], ["---", "---", "---", "---"], ...rows];
  return lines.map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`).join("\n");
}

const json = (value: unknown): string => `\`\`\`json\n${JSON.stringify(value, null, 2)}\n\`\`\``;
