/**
 * Why an expression in Go's syntax (RE2) cannot be given to twill-agent's --iface-regex, which takes JavaScript's; undefined when both
 * read it alike.
 */
export function expressionProblem(pattern: string): string | undefined {
  // A list flag is cut at commas.
  if (pattern.includes(",")) return "it has a comma, at which the flag is cut";
  if (/\[\[:|\\[pP]\{?[A-Za-z]|\\[AzQECa]|\(\?P|\(\?[imsU-]+\)/.test(pattern))
    return "it has syntax that only Go knows";
  try {
    new RegExp(pattern);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
