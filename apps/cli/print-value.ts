import type { Output } from "./command.ts";

/** For programs. */
export function printValue(value: unknown, format: "json" | "yaml", output: Output): void {
  const plain: unknown = JSON.parse(JSON.stringify(value));
  output.out(
    format === "json" ? `${JSON.stringify(plain, null, 2)}\n` : `${Bun.YAML.stringify(plain, null, 2).trimEnd()}\n`,
  );
}
