/**
 * Debian packages that tests and benchmarks need as peers and oracles. The product itself needs none.
 * Installed by name where we are root; otherwise the missing ones are named.
 */
const packages: Readonly<Record<string, string>> = {
  ip: "iproute2",
  nft: "nftables",
  tcpdump: "tcpdump",
  ping: "iputils-ping",
  iperf3: "iperf3",
  conntrack: "conntrack",
  strace: "strace",
  iptables: "iptables",
  unshare: "util-linux",
  openssl: "openssl",
  // Runs the other architecture's CNI launcher.
  [process.arch === "arm64" ? "qemu-x86_64" : "qemu-aarch64"]: "qemu-user",
  "/usr/lib/cni/bridge": "containernetworking-plugins",
};

const present = (program: string): boolean =>
  program.startsWith("/")
    ? Bun.file(program).size > 0
    : Bun.which(program, { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }) !== null;

export function installPackages(): void {
  const missing = [
    ...new Set(
      Object.entries(packages)
        .filter(([program]) => !present(program))
        .map(([, name]) => name),
    ),
  ];
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) {
    throw new Error(
      `the tests need Debian's ${missing.join(", ")}: run "apt-get install ${missing.join(" ")}" as root first`,
    );
  }
  process.stderr.write(`twill: installing Debian's ${missing.join(", ")} for the tests …\n`);
  const apt = (...args: string[]) =>
    Bun.spawnSync(["apt-get", "-qq", "-y", ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "ignore", "inherit"],
    }).exitCode;
  apt("update");
  if (apt("install", "--no-install-recommends", ...missing) !== 0)
    throw new Error("apt-get install failed; its message is above");
}
