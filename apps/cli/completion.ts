import { flagNames } from "../flags.ts";
import { type Command, visible } from "./command.ts";

/** Every command path with what may follow it: "twill get" → nodes subnets … --output. */
function candidates(root: Command): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  const visit = (command: Command, path: string): void => {
    const names = visible(command).map((sub) => sub.name);
    found.set(path, [...names, ...(command.words ?? []), ...flagNames(command.flags ?? {}), "--help"]);
    for (const sub of visible(command)) visit(sub, `${path} ${sub.name}`);
  };
  visit(root, root.name);
  return found;
}

const cases = (root: Command): string =>
  [...candidates(root)].map(([path, words]) => `    "${path}") words="${words.join(" ")}" ;;`).join("\n");

/** Walks the words typed so far down to the deepest known command, then offers what may follow. */
export function bashCompletion(root: Command): string {
  return `# bash completion for ${root.name}: source <(${root.name} completion bash)
_${root.name}() {
  local path="${root.name}" words="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "$path \${COMP_WORDS[index]}" in
${[...candidates(root).keys()]
  .filter((path) => path !== root.name)
  .map((path) => `      "${path}") path="${path}" ;;`)
  .join("\n")}
    esac
  done
  case "$path" in
${cases(root)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${root.name} ${root.name}
`;
}

export function zshCompletion(root: Command): string {
  return `#compdef ${root.name}
# zsh completion for ${root.name}: source <(${root.name} completion zsh)
_${root.name}() {
  local path_="${root.name}" candidates="" index
  for ((index = 2; index < CURRENT; index++)); do
    case "$path_ \${words[index]}" in
${[...candidates(root).keys()]
  .filter((path) => path !== root.name)
  .map((path) => `      "${path}") path_="${path}" ;;`)
  .join("\n")}
    esac
  done
  case "$path_" in
${cases(root).replaceAll("words=", "candidates=")}
  esac
  compadd -- \${=candidates}
}
compdef _${root.name} ${root.name}
`;
}
