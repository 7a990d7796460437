export const runtimeSocket = "/run/containerd/containerd.sock";

/** As installed from a package, but for what is said below. docs: containerd's docs/cri/config.md, version 3. */
export const containerdConfig = (): string => `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "${runtimeSocket}"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "registry.k8s.io/pause:3.10"

[plugins."io.containerd.cri.v1.runtime"]
  # Lowering a process's score takes CAP_SYS_RESOURCE, which root in a container may lack.
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"
  use_internal_loopback = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false

# Its socket lies in /var/run/nri, which all nodes of all labs would share.
[plugins."io.containerd.nri.v1.nri"]
  disable = true
`;
