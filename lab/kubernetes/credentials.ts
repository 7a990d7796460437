import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Address } from "../../src/base/address.ts";
import { CertificateAuthority, type KeyPair } from "./certificates.ts";

/** Who may do what in the lab's cluster: its certificate authority, and a kubeconfig for each component and for people. */
export class Credentials {
  readonly directory: string;
  readonly server: string;
  readonly authority: CertificateAuthority;
  /** Member of system:masters: for `kubectl`, and for the lab itself. */
  readonly admin: KeyPair;
  readonly adminKubeconfig: string;

  /** @param directory made here, for its owner alone. @param address of the API server, as nodes and people reach it. */
  constructor(directory: string, address: Address) {
    this.directory = join(directory, "pki");
    this.server = `https://${address.includes(":") ? `[${address}]` : address}:6443`;
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    this.authority = new CertificateAuthority(this.directory);
    this.admin = this.authority.issue("admin", "/O=system:masters/CN=admin");
    this.adminKubeconfig = this.#write(join(directory, "admin.kubeconfig"), "admin", this.admin);
  }

  /** For a component that RBAC or the Node authorizer knows by its subject: "/O=system:nodes/CN=system:node:node1". */
  kubeconfig(path: string, name: string, subject: string): string {
    return this.#write(path, name, this.authority.issue(name, subject));
  }

  /** With the certificates in it, so that the file alone is enough. */
  #write(path: string, user: string, pair: KeyPair): string {
    const base64 = (file: string) => readFileSync(file).toString("base64");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "twill-lab",
          cluster: { server: this.server, "certificate-authority-data": base64(this.authority.certificate) },
        },
      ],
      users: [
        {
          name: user,
          user: { "client-certificate-data": base64(pair.certificate), "client-key-data": base64(pair.key) },
        },
      ],
      contexts: [{ name: "twill-lab", context: { cluster: "twill-lab", user } }],
      "current-context": "twill-lab",
    };
    writeFileSync(path, Bun.YAML.stringify(config, null, 2), { mode: 0o600 });
    return path;
  }
}
