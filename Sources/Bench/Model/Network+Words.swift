// SPDX-License-Identifier: Apache-2.0

extension Network {
  /// What it is, in a line, as docs/measuring.md has it.
  var explanation: String {
    guard let tier else { return Self.kernelExplanations[base] ?? "" }
    return Self.tierExplanations[tier] ?? ""
  }

  static let kernelExplanations = [
    "bare":
      "host to host over the same wire, without any overlay: what an overlay could reach at best",
    "host": "a container in its host's namespace",
    "bridge": "two containers of one host, over its bridge",
    "container": "two containers in one namespace, over its loopback",
    "nat":
      "a subnet per host behind its address: masqueraded out, published ports in, both hosts by nftables; IPv4 only",
    "none": "loopback alone: skipped in everything but launch",
    "vxlan": "the kernel's bridge and VXLAN device, tuned where the report does not say as-shipped",
    "vxlan@as-shipped": "the same with the kernel's defaults: netfilter on the bridge, outer UDP checksums",
    "flannel":
      "routed: cni0 and flannel.1, with the chains of flannel and kube-proxy, netfilter on the bridge, outer checksums",
    "calico":
      "routed: vxlan.calico, a /32 route per cali* port, proxy ARP, Calico's chains, outer checksums",
  ]

  static let tierExplanations = [
    "xdp": "Culvert on the same devices, in the driver's receive path, by BPF programs",
    "afxdp":
      "Culvert on the same devices, in user space: a worker on AF_XDP rings, which takes a CPU of its own under load",
    "tc": "Culvert on the same devices, at tc ingress, by BPF programs; 64 KiB segments stay whole",
    "auto": "Culvert on the same devices, by the tier that it chooses by itself",
  ]
}
