import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Paths of PEM files. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate authority in a directory, by openssl. Everything it signs is valid for a week: for tests and labs. */
export class CertificateAuthority implements KeyPair {
  readonly certificate: string;
  readonly key: string;
  readonly #directory: string;
  readonly #name: string;

  constructor(directory: string, name = "ca") {
    this.#directory = directory;
    this.#name = name;
    this.certificate = this.#path("crt");
    this.key = this.#path("key");
    openssl("req", "-x509", ...newKey, "-keyout", this.key, "-out", this.certificate, "-subj", `/CN=${name}`, ...week);
  }

  /** `subject`: "/O=system:masters/CN=admin", whom Kubernetes takes the bearer for. `alternatives`: "IP:127.0.0.1". */
  issue(name: string, subject: string, alternatives: readonly string[] = []): KeyPair {
    const [certificate, key, request, extensions] = ["crt", "key", "csr", "ext"].map((kind) => this.#path(kind, name));
    if (certificate === undefined || key === undefined || request === undefined || extensions === undefined) {
      throw new Error("four paths");
    }
    openssl("req", ...newKey, "-keyout", key, "-out", request, "-subj", subject);
    writeFileSync(extensions, alternatives.length > 0 ? `subjectAltName=${alternatives.join(",")}\n` : "");
    const signer = ["-CA", this.certificate, "-CAkey", this.key, "-CAcreateserial", "-extfile", extensions];
    openssl("x509", "-req", "-in", request, "-out", certificate, ...signer, ...week);
    return { certificate, key };
  }

  #path(kind: string, name?: string): string {
    return join(this.#directory, name === undefined ? `${this.#name}.${kind}` : `${this.#name}-${name}.${kind}`);
  }
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const week = ["-days", "7"];

function openssl(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr.toString().slice(-500)}`);
}
