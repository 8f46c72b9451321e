// SPDX-License-Identifier: Apache-2.0

/// What the study did and found, restated; the networks are this lab's: `vxlan` is what Docker's overlay is, `flannel` is
/// flannel with VXLAN, and `calico`, which is Calico with VXLAN, has no counterpart there.
extension PaperExperiment {
  public static let all = [fig3b, fig3c, fig3d, fig4, fig5, fig6, fig7]

  /// The network that stands for "without containers".
  static let baseline = "bare"

  private static let acrossHosts = ["host", "nat", "vxlan", "vxlan+tc", "vxlan+xdp", "flannel", "flannel+tc", "calico"]
  private static let moreAcrossHosts = ["vxlan+afxdp", "calico+tc"]
  private static let onOneHost = ["host", "container", "bridge", "bridge+tc"]
  private static let missing = "this lab has no `routed`, `ipip`, `udp` or `udp-crypt`"

  static let fig3b = PaperExperiment(
    id: "fig3b", title: "TCP and UDP throughput on one host, 1024 B",
    paper: "sockperf, 1024 B: the bridge is clearly worse, everything else is as fast as without containers",
    series: [
      Series(measure: .tcpStream, sizes: [1024], span: .oneHost, networks: onOneHost),
      Series(measure: .udpStream, sizes: [1024], span: .oneHost, networks: onOneHost),
    ],
    findings: [
      PaperFinding("On one host the bridge is slower than no container, TCP", .slower(["bridge"], than: baseline), .tcpStream),
      PaperFinding("On one host the bridge is slower than no container, UDP", .slower(["bridge"], than: baseline), .udpStream),
      PaperFinding("A shared namespace or the host's own costs nothing, TCP", .alike(["container", "host"], to: baseline), .tcpStream),
      PaperFinding("A shared namespace or the host's own costs nothing, UDP", .alike(["container", "host"], to: baseline), .udpStream),
    ])

  static let fig3c = PaperExperiment(
    id: "fig3c", title: "Bandwidth by message size on one host",
    paper: "osu_bw: the bridge has a tenth of the bandwidth, everything else is as fast as without containers",
    series: [
      Series(
        measure: .tcpStream, sizes: [1024, 65_536], moreSizes: [64, 4096, 16_384], span: .oneHost,
        networks: onOneHost)
    ],
    findings: [
      PaperFinding("The bridge has less bandwidth at every size", .slower(["bridge"], than: baseline), .tcpStream),
      PaperFinding("A shared namespace or the host's own costs nothing", .alike(["container", "host"], to: baseline), .tcpStream),
    ],
    values: [1024, 65_536].map { PaperValue(network: "bridge", measure: .tcpStream, size: $0, ratio: 0.1) })

  static let fig3d = PaperExperiment(
    id: "fig3d", title: "Latency by message size on one host",
    paper: "osu_latency: the bridge takes ten times as long, everything else is as fast as without containers",
    series: [
      Series(
        measure: .tcpRoundTrip, sizes: [64, 1024], moreSizes: [16, 4096, 16_384, 65_507], span: .oneHost,
        networks: onOneHost)
    ],
    findings: [
      PaperFinding("The bridge takes longer at every size", .slower(["bridge"], than: baseline), .tcpRoundTrip),
      PaperFinding("A shared namespace or the host's own costs nothing", .alike(["container", "host"], to: baseline), .tcpRoundTrip),
    ],
    values: [64, 1024].map { PaperValue(network: "bridge", measure: .tcpRoundTrip, size: $0, ratio: 10) })

  static let fig4 = PaperExperiment(
    id: "fig4", title: "TCP throughput (256 B) and latency (16 B) between two hosts",
    paper:
      "sockperf: host mode is as fast as without containers; NAT and BGP are worse; Docker's overlay has 82.8 % less throughput and 55 % more latency",
    series: [
      Series(measure: .tcpStream, sizes: [256], networks: acrossHosts, moreNetworks: moreAcrossHosts),
      Series(measure: .tcpRoundTrip, sizes: [16], networks: acrossHosts, moreNetworks: moreAcrossHosts),
    ],
    findings: [
      PaperFinding("Host mode has the throughput of no container", .alike(["host"], to: baseline), .tcpStream),
      PaperFinding("Host mode has the latency of no container", .alike(["host"], to: baseline), .tcpRoundTrip),
      PaperFinding("NAT has less throughput", .slower(["nat"], than: baseline), .tcpStream),
      PaperFinding("NAT has more latency", .slower(["nat"], than: baseline), .tcpRoundTrip),
      PaperFinding("Docker's overlay has less throughput", .slower(["vxlan"], than: baseline), .tcpStream),
      PaperFinding("Docker's overlay has more latency", .slower(["vxlan"], than: baseline), .tcpRoundTrip),
      PaperFinding("Overlays have the least throughput", .worst(["vxlan", "flannel"]), .tcpStream),
      PaperFinding("Overlays have the most latency", .worst(["vxlan", "flannel"]), .tcpRoundTrip),
      PaperFinding("Plain routes (BGP) have less throughput", .lacks(missing), .tcpStream),
    ],
    values: [
      PaperValue(network: "vxlan", measure: .tcpStream, size: 256, ratio: 0.172),
      PaperValue(network: "vxlan", measure: .tcpRoundTrip, size: 16, ratio: 1.55),
      PaperValue(network: "host", measure: .tcpStream, size: 256, ratio: 1),
      PaperValue(network: "host", measure: .tcpRoundTrip, size: 16, ratio: 1),
    ])

  static let fig5 = PaperExperiment(
    id: "fig5", title: "TCP throughput by message size between two hosts",
    paper: "sockperf: at 256 B NAT has 36 % less, BGP 39 %, overlays 82 % on average; overlays do not grow with the size",
    series: [
      Series(
        measure: .tcpStream, sizes: [16, 256, 1024], moreSizes: [64, 4096, 16_384, 65_536], networks: acrossHosts,
        moreNetworks: moreAcrossHosts)
    ],
    findings: [
      PaperFinding("NAT is slower at 256 B", .slower(["nat"], than: baseline), .tcpStream, sizes: [256]),
      PaperFinding("Overlays are slower at every size", .slower(["vxlan", "flannel"], than: baseline), .tcpStream),
      PaperFinding("Overlays are the slowest at 256 B", .worst(["vxlan", "flannel"]), .tcpStream, sizes: [256]),
      PaperFinding("Overlays gain less from larger messages", .scalesLess(["vxlan", "flannel"]), .tcpStream, sizes: [16, 1024]),
      PaperFinding("Plain routes (BGP) are slower at 256 B", .lacks(missing), .tcpStream),
    ],
    values: [
      PaperValue(network: "nat", measure: .tcpStream, size: 256, ratio: 0.64),
      PaperValue(network: "vxlan", measure: .tcpStream, size: 256, ratio: 0.18),
      PaperValue(network: "flannel", measure: .tcpStream, size: 256, ratio: 0.18),
    ])

  static let fig6 = PaperExperiment(
    id: "fig6", title: "UDP throughput by message size between two hosts",
    paper: "sockperf: at 256 B NAT has 24 % less, BGP more than without containers, overlays 38 % less on average",
    series: [
      Series(
        measure: .udpStream, sizes: [16, 256, 1024], moreSizes: [64, 1400, 4096, 16_384], networks: acrossHosts,
        moreNetworks: moreAcrossHosts)
    ],
    findings: [
      PaperFinding("NAT is slower at 256 B", .slower(["nat"], than: baseline), .udpStream, sizes: [256]),
      PaperFinding("Overlays are slower at every size", .slower(["vxlan", "flannel"], than: baseline), .udpStream),
      PaperFinding("Overlays are the slowest at 256 B", .worst(["vxlan", "flannel"]), .udpStream, sizes: [256]),
      PaperFinding("Plain routes (BGP) are faster at 256 B", .lacks(missing), .udpStream),
    ],
    values: [
      PaperValue(network: "nat", measure: .udpStream, size: 256, ratio: 0.76),
      PaperValue(network: "vxlan", measure: .udpStream, size: 256, ratio: 0.62),
      PaperValue(network: "flannel", measure: .udpStream, size: 256, ratio: 0.62),
    ])

  static let fig7 = PaperExperiment(
    id: "fig7", title: "Physical against virtual machines",
    paper:
      "sockperf: in a virtual machine small TCP has 42 % less throughput and Docker's overlay 50.3 %; on bare metal 1024 B saturate 1 GbE everywhere",
    skipped: "it takes two physical machines and two virtual ones; this is one machine")
}
