import { existsSync } from "node:fs";

/**
 * NetworkManager and systemd-networkd take every device that appears for theirs: they give it addresses, take ours away, and
 * udev's default gives tunnels and veths another MAC (flannel-io/flannel #1155). These files tell them to let ours alone.
 */
export interface DaemonFile {
  readonly path: string;
  readonly content: string;
}

/** Patterns that hold for all our devices, and as far as possible for nobody else's. */
const devices = ["twl*", "flannel.*", "flannel-v6.*", "fl4.*", "fl6.*", "cni0"];

const remark = "# Written by Twill, whose devices these are; `twill uninstall` removes it.";

interface Daemon {
  readonly name: string;
  /** The daemon is there when this folder is. */
  readonly folder: string;
  readonly files: readonly DaemonFile[];
  /** What makes a running daemon read its files again. */
  readonly reload: string;
}

export const daemons: readonly Daemon[] = [
  {
    name: "NetworkManager",
    folder: "/etc/NetworkManager",
    reload: "nmcli general reload conf",
    files: [
      {
        // "+=" adds to what other files say (NetworkManager.conf(5), "File format").
        path: "/etc/NetworkManager/conf.d/90-twill.conf",
        content: `${remark}\n[keyfile]\nunmanaged-devices+=${devices.map((name) => `interface-name:${name}`).join(";")}\n`,
      },
    ],
  },
  {
    name: "systemd-networkd",
    folder: "/etc/systemd/network",
    reload: "networkctl reload",
    files: [
      {
        // The first file that matches counts, in the order of names: before people's "10-…" that match everything.
        path: "/etc/systemd/network/05-twill.network",
        content: `${remark}\n[Match]\nName=${devices.join(" ")}\n\n[Link]\nUnmanaged=yes\n`,
      },
      {
        // Read by systemd-udevd when the device appears. Without NamePolicy= the name stays, too (systemd.link(5)).
        path: "/etc/systemd/network/05-twill.link",
        content: `${remark}\n[Match]\nOriginalName=${devices.join(" ")}\n\n[Link]\nMACAddressPolicy=none\n`,
      },
    ],
  },
];

/** Those of them that this machine has. */
export const presentDaemons = (): readonly Daemon[] => daemons.filter(({ folder }) => existsSync(folder));
