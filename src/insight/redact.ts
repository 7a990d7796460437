/**
 * Takes secrets out of a text that will leave the cluster's administrators: what is known to be secret is not collected in
 * the first place; this catches what people put where it does not belong (a password in a URL or a command, a token in a log).
 */
export const removed = "[removed]";

const names =
  "pass(?:word|wd|phrase)?|secret|token|credentials?|api[-_]?key|access[-_]?key|private[-_]?key|client[-_]?key(?:-data)?|peer[-_]?key|psk";

const rules: readonly { readonly pattern: RegExp; readonly replacement: string }[] = [
  { pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, replacement: removed },
  // Basic and bearer authorization (RFC 7617, RFC 6750).
  { pattern: /\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}/gi, replacement: `$1 ${removed}` },
  // JSON Web Tokens (RFC 7519): Kubernetes' service account tokens.
  { pattern: /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g, replacement: removed },
  // The password of a URL (RFC 3986 section 3.2.1).
  { pattern: /([a-z][a-z0-9+.-]*:\/\/[^\s/:@"']*):[^\s/@"']+@/gi, replacement: `$1:${removed}@` },
  // What our own errors say of a field that nobody knows: field "Password" with the text "x".
  { pattern: new RegExp(`((?:${names})[^\\n]{0,80}?the text \\\\*")[^"\\\\]+`, "gi"), replacement: `$1${removed}` },
  // "password": "x", token=x, --client-key x, AWS_SECRET_ACCESS_KEY=x; in JSON within JSON the quotes are escaped.
  {
    pattern: new RegExp(
      `((?:${names})[\\w-]*\\\\*["']?\\s*[:=]\\s*|--(?:password|token|secret)\\s+)(\\\\*["'])?([^\\s"'\\\\,;}]+)`,
      "gi",
    ),
    replacement: `$1$2${removed}`,
  },
];

/** @param known secrets that this process holds, removed wherever they stand. */
export function redact(text: string, known: readonly string[] = []): string {
  let clean = text;
  for (const secret of known) if (secret.length >= 6) clean = clean.replaceAll(secret, removed);
  for (const { pattern, replacement } of rules) clean = clean.replace(pattern, replacement);
  return clean;
}
