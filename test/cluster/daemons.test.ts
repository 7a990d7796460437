import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { daemons } from "../../apps/install/host-daemons.ts";
import { debianPackages } from "./debian.fixture.ts";

setDefaultTimeout(120_000);

/**
 * The files that keep a node's own network daemons off our devices, read by the daemons themselves: each in namespaces of its
 * own, with a configuration that would have it take every device, one device of ours and one that is not.
 */
const ours = "twl0123456789a";
const devices = `ip link add ${ours} type veth peer name ours; ip link add cni0 type bridge
  ip link add other0 type veth peer name other1; ip link set lo up`;
/** Neither has a daemon reason to wait for udev where /sys cannot be written, nor can it reach the machine's. */
const prepare = `set -e; mount --make-rprivate /; mount -t tmpfs tmpfs /run; mount -t sysfs -o ro sysfs /sys; mkdir /run/dbus`;

let root: string;

beforeAll(() => {
  root = debianPackages("network-daemons", [
    ...["network-manager", "libnm0", "libndp0", "libteamdctl0", "libmm-glib0", "libbluetooth3", "libnewt0.52"],
    ...["systemd", "libsystemd-shared", "libsystemd0", "udev", "libudev1", "libkmod2"],
  ]);
}, 300_000);

function inside(script: string): string {
  const folder = mkdtempSync(join(tmpdir(), "twill-daemons-"));
  try {
    for (const { path, content } of daemons.flatMap(({ files }) => files))
      writeFileSync(join(folder, basename(path)), content);
    const libraries = [
      "usr/lib/x86_64-linux-gnu/systemd",
      "usr/lib/systemd",
      "usr/lib/x86_64-linux-gnu",
      "lib/x86_64-linux-gnu",
    ];
    const { exitCode, stdout, stderr } = Bun.spawnSync(
      ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script],
      {
        env: {
          PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
          OURS: folder,
          ROOT: root,
          LIBRARIES: libraries.map((path) => join(root, path)).join(":"),
        },
        timeout: 90_000,
      },
    );
    if (exitCode !== 0) throw new Error(`${stdout}${stderr}`);
    return stdout.toString();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("systemd-networkd lets our devices alone where it takes all others", () => {
  const shown = inside(`${prepare}
    mkdir -p /run/systemd/netif /run/systemd/network
    cp "$OURS/05-twill.network" /run/systemd/network/
    printf '[Match]\\nName=*\\n\\n[Network]\\nAddress=192.0.2.9/24\\n' > /run/systemd/network/10-all.network
    ${devices}
    export SYSTEMD_LOG_TARGET=console LD_LIBRARY_PATH="$LIBRARIES"
    $ROOT/lib/systemd/systemd-networkd 2> /run/log &
    for i in $(seq 300); do ip -br addr show other0 | grep -q 192.0.2.9 && break; sleep 0.1; done
    sleep 1; ip -br addr; grep -i -e unknown -e invalid -e 'failed to parse' /run/log || true`);
  expect(shown).toMatch(/^other0@\S+ +UP +192\.0\.2\.9\/24/m);
  expect(shown).toMatch(new RegExp(`^${ours}@\\S+ +DOWN *$`, "m"));
  expect(shown).toMatch(/^cni0 +DOWN *$/m);
  expect(shown).not.toMatch(/unknown key|invalid|failed to parse/i);
});

test("udev leaves our devices their MAC where its default gives others one", () => {
  const shown = inside(`${prepare}
    mkdir -p /run/systemd/network
    cp "$OURS/05-twill.link" /run/systemd/network/
    printf '[Match]\\nOriginalName=*\\n\\n[Link]\\nMACAddressPolicy=persistent\\n' > /run/systemd/network/99-default.link
    ${devices}
    export LD_LIBRARY_PATH="$LIBRARIES"
    for device in ${ours} other0; do
      before=$(cat /sys/class/net/$device/address)
      $ROOT/bin/udevadm test-builtin net_setup_link /sys/class/net/$device 2>&1
      [ "$before" = "$(cat /sys/class/net/$device/address)" ] && echo "$device: kept" || echo "$device: changed"
    done`);
  expect(shown).toContain("05-twill.link is applied");
  expect(shown).toContain(`${ours}: kept`);
  expect(shown).toContain("other0: changed");
  expect(shown).not.toMatch(/05-twill\.link.*(unknown|invalid|failed)/i);
});

test("NetworkManager calls our devices unmanaged where it connects others", () => {
  const shown = inside(`${prepare}
    mount -t tmpfs tmpfs /var/lib; mkdir -p /run/nm/conf.d /run/nm/lib
    cp "$OURS/90-twill.conf" /run/nm/conf.d/
    printf '[main]\\nplugins=keyfile\\n\\n[keyfile]\\nunmanaged-devices=interface-name:theirs*\\n' > /run/nm/NetworkManager.conf
    cat > /run/bus.conf <<'X'
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
X
    dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile 2> /dev/null &
    ${devices}; ip link add theirs0 type veth peer name theirs1
    export LD_LIBRARY_PATH="$LIBRARIES"
    config="--config=/run/nm/NetworkManager.conf --config-dir=/run/nm/conf.d --system-config-dir=/run/nm/lib --intern-config=/run/nm/intern"
    for i in $(seq 100); do [ -S /run/dbus/system_bus_socket ] && break; sleep 0.1; done
    $ROOT/usr/sbin/NetworkManager --no-daemon $config --log-level=WARN > /run/log 2>&1 &
    state() { $ROOT/usr/bin/nmcli -t -f DEVICE,STATE device status 2> /dev/null; }
    for i in $(seq 300); do state | grep -q '^other0:conn' && break; sleep 0.1; done
    state; cat /run/log`);
  expect(shown).toMatch(/^other0:connect/m);
  for (const device of [ours, "cni0", "theirs0"]) expect(shown).toContain(`${device}:unmanaged`);
});
