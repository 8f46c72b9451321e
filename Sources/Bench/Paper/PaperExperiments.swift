// SPDX-License-Identifier: Apache-2.0

/// What the study did and found, restated; the networks are this lab's: `vxlan` is what Docker's overlay is, `flannel` is
/// flannel with VXLAN, and `calico`, which is Calico with VXLAN, has no counterpart there.
extension PaperExperiment {
  public static let all = [
    fig1, fig3a, fig3b, fig3c, fig3d, fig4, fig5, fig6, fig7, fig8, fig9, table5, table6,
  ]

  /// The network that stands for "without containers".
  static let baseline = "bare"

  private static let acrossHosts = [
    "host", "nat", "vxlan", "vxlan+tc", "vxlan+xdp", "flannel", "flannel+tc", "calico",
  ]
  private static let moreAcrossHosts = ["vxlan+afxdp", "calico+tc"]
  private static let onOneHost = ["host", "container", "bridge", "bridge+tc"]
  private static let noRoutes = "`routed` is not in this lab yet: no BIRD"
  private static let noDaemons = "`udp` and `udp-crypt` are not in this lab yet: no forwarder in user space"
  private static let missing = [
    "routed": "this lab does not run BIRD yet", "ipip": "this lab does not build IP in IP yet",
    "udp": "this lab has no forwarder in user space yet",
    "udp-crypt": "this lab has no forwarder in user space yet",
  ]

  static let fig1 = PaperExperiment(
    id: "fig1", title: "CPU, memory and network with and without a container",
    paper:
      "a loop of 100 million steps, STREAM and sockperf: CPU and memory unchanged, the network drops sharply",
    series: [
      Series(measure: .local(.loop), sizes: [0], networks: ["container", "vxlan"]),
      Series(measure: .local(.triad), sizes: [0], networks: ["container", "vxlan"]),
      Series(measure: .udpStream, sizes: [1024], networks: ["vxlan"]),
    ],
    findings: [
      PaperFinding(
        "A container computes as fast", .alike(["container", "vxlan"], to: baseline), .local(.loop)),
      PaperFinding(
        "A container's memory is as fast", .alike(["container", "vxlan"], to: baseline), .local(.triad)),
      PaperFinding("A container's network is slower", .slower(["vxlan"], than: baseline), .udpStream),
    ])

  static let fig3a = PaperExperiment(
    id: "fig3a", title: "Bulk TCP up and down on one host",
    paper:
      "sparkyfish: the bridge has 18 % less up and 30 % less down, everything else is as fast as without containers",
    series: [
      Series(measure: .bulk(.up), sizes: [65_536], span: .oneHost, networks: onOneHost),
      Series(measure: .bulk(.down), sizes: [65_536], span: .oneHost, networks: onOneHost),
    ],
    findings: [
      PaperFinding("The bridge is slower up", .slower(["bridge"], than: baseline), .bulk(.up)),
      PaperFinding("The bridge is slower down", .slower(["bridge"], than: baseline), .bulk(.down)),
      PaperFinding(
        "A shared namespace or the host's own costs nothing, up",
        .alike(["container", "host"], to: baseline), .bulk(.up)),
      PaperFinding(
        "A shared namespace or the host's own costs nothing, down",
        .alike(["container", "host"], to: baseline), .bulk(.down)),
    ],
    values: [
      PaperValue(network: "bridge", measure: .bulk(.up), size: 65_536, ratio: 0.82),
      PaperValue(network: "bridge", measure: .bulk(.down), size: 65_536, ratio: 0.7),
    ], differs: "both ways are loaded at once")

  static let fig3b = PaperExperiment(
    id: "fig3b", title: "TCP and UDP throughput on one host, 1024 B",
    paper: "sockperf, 1024 B: the bridge is clearly worse, everything else is as fast as without containers",
    series: [
      Series(measure: .tcpStream, sizes: [1024], span: .oneHost, networks: onOneHost),
      Series(measure: .udpStream, sizes: [1024], span: .oneHost, networks: onOneHost),
    ],
    findings: [
      PaperFinding(
        "On one host the bridge is slower than no container, TCP", .slower(["bridge"], than: baseline),
        .tcpStream),
      PaperFinding(
        "On one host the bridge is slower than no container, UDP", .slower(["bridge"], than: baseline),
        .udpStream),
      PaperFinding(
        "A shared namespace or the host's own costs nothing, TCP",
        .alike(["container", "host"], to: baseline), .tcpStream),
      PaperFinding(
        "A shared namespace or the host's own costs nothing, UDP",
        .alike(["container", "host"], to: baseline), .udpStream),
    ])

  static let fig3c = PaperExperiment(
    id: "fig3c", title: "Bandwidth by message size on one host",
    paper:
      "osu_bw: the bridge has a tenth of the bandwidth, everything else is as fast as without containers",
    series: [
      Series(
        measure: .tcpStream, sizes: [1024, 65_536], moreSizes: [64, 4096, 16_384], span: .oneHost,
        networks: onOneHost)
    ],
    findings: [
      PaperFinding(
        "The bridge has less bandwidth at every size", .slower(["bridge"], than: baseline), .tcpStream),
      PaperFinding(
        "A shared namespace or the host's own costs nothing", .alike(["container", "host"], to: baseline),
        .tcpStream),
    ],
    values: [1024, 65_536].map { PaperValue(network: "bridge", measure: .tcpStream, size: $0, ratio: 0.1) })

  static let fig3d = PaperExperiment(
    id: "fig3d", title: "Latency by message size on one host",
    paper:
      "osu_latency: the bridge takes ten times as long, everything else is as fast as without containers",
    series: [
      Series(
        measure: .tcpRoundTrip, sizes: [64, 1024], moreSizes: [16, 4096, 16_384, 65_507], span: .oneHost,
        networks: onOneHost)
    ],
    findings: [
      PaperFinding(
        "The bridge takes longer at every size", .slower(["bridge"], than: baseline), .tcpRoundTrip),
      PaperFinding(
        "A shared namespace or the host's own costs nothing", .alike(["container", "host"], to: baseline),
        .tcpRoundTrip),
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
      PaperFinding(
        "Host mode has the throughput of no container", .alike(["host"], to: baseline), .tcpStream),
      PaperFinding(
        "Host mode has the latency of no container", .alike(["host"], to: baseline), .tcpRoundTrip),
      PaperFinding("NAT has less throughput", .slower(["nat"], than: baseline), .tcpStream),
      PaperFinding("NAT has more latency", .slower(["nat"], than: baseline), .tcpRoundTrip),
      PaperFinding("Docker's overlay has less throughput", .slower(["vxlan"], than: baseline), .tcpStream),
      PaperFinding("Docker's overlay has more latency", .slower(["vxlan"], than: baseline), .tcpRoundTrip),
      PaperFinding("Overlays have the least throughput", .worst(["vxlan", "flannel"]), .tcpStream),
      PaperFinding("Overlays have the most latency", .worst(["vxlan", "flannel"]), .tcpRoundTrip),
      PaperFinding("Plain routes (BGP) have less throughput", .lacks(noRoutes), .tcpStream),
    ],
    values: [
      PaperValue(network: "vxlan", measure: .tcpStream, size: 256, ratio: 0.172),
      PaperValue(network: "vxlan", measure: .tcpRoundTrip, size: 16, ratio: 1.55),
      PaperValue(network: "host", measure: .tcpStream, size: 256, ratio: 1),
      PaperValue(network: "host", measure: .tcpRoundTrip, size: 16, ratio: 1),
    ], missing: missing)

  static let fig5 = PaperExperiment(
    id: "fig5", title: "TCP throughput by message size between two hosts",
    paper:
      "sockperf: at 256 B NAT has 36 % less, BGP 39 %, overlays 82 % on average; overlays do not grow with the size",
    series: [
      Series(
        measure: .tcpStream, sizes: [16, 256, 1024], moreSizes: [64, 4096, 16_384, 65_536],
        networks: acrossHosts,
        moreNetworks: moreAcrossHosts)
    ],
    findings: [
      PaperFinding("NAT is slower at 256 B", .slower(["nat"], than: baseline), .tcpStream, sizes: [256]),
      PaperFinding(
        "Overlays are slower at every size", .slower(["vxlan", "flannel"], than: baseline), .tcpStream),
      PaperFinding(
        "Overlays are the slowest at 256 B", .worst(["vxlan", "flannel"]), .tcpStream, sizes: [256]),
      PaperFinding(
        "Overlays gain less from larger messages", .scalesLess(["vxlan", "flannel"]), .tcpStream,
        sizes: [16, 1024]),
      PaperFinding("Plain routes (BGP) are slower at 256 B", .lacks(noRoutes), .tcpStream),
    ],
    values: [
      PaperValue(network: "nat", measure: .tcpStream, size: 256, ratio: 0.64),
      PaperValue(network: "vxlan", measure: .tcpStream, size: 256, ratio: 0.18),
      PaperValue(network: "flannel", measure: .tcpStream, size: 256, ratio: 0.18),
    ], missing: missing)

  static let fig6 = PaperExperiment(
    id: "fig6", title: "UDP throughput by message size between two hosts",
    paper:
      "sockperf: at 256 B NAT has 24 % less, BGP more than without containers, overlays 38 % less on average",
    series: [
      Series(
        measure: .udpStream, sizes: [16, 256, 1024], moreSizes: [64, 1400, 4096, 16_384],
        networks: acrossHosts,
        moreNetworks: moreAcrossHosts)
    ],
    findings: [
      PaperFinding("NAT is slower at 256 B", .slower(["nat"], than: baseline), .udpStream, sizes: [256]),
      PaperFinding(
        "Overlays are slower at every size", .slower(["vxlan", "flannel"], than: baseline), .udpStream),
      PaperFinding(
        "Overlays are the slowest at 256 B", .worst(["vxlan", "flannel"]), .udpStream, sizes: [256]),
      PaperFinding("Plain routes (BGP) are faster at 256 B", .lacks(noRoutes), .udpStream),
    ],
    values: [
      PaperValue(network: "nat", measure: .udpStream, size: 256, ratio: 0.76),
      PaperValue(network: "vxlan", measure: .udpStream, size: 256, ratio: 0.62),
      PaperValue(network: "flannel", measure: .udpStream, size: 256, ratio: 0.62),
    ], missing: missing)

  static let fig7 = PaperExperiment(
    id: "fig7", title: "Physical against virtual machines",
    paper:
      "sockperf: in a virtual machine small TCP has 42 % less throughput and Docker's overlay 50.3 %; on bare metal 1024 B saturate 1 GbE everywhere",
    skipped: "it takes two physical machines and two virtual ones; this is one machine")

  private static let besideOthers = ["host", "vxlan", "vxlan+tc", "vxlan+xdp", "flannel", "flannel+tc"]

  static let fig8 = PaperExperiment(
    id: "fig8", title: "TCP throughput beside busy containers",
    paper:
      "sockperf beside five containers that loop, and beside five that take 10 % of a CPU each: user-space daemons suffer most, data planes in the kernel are resilient",
    series: [
      Series(measure: .tcpStream, sizes: [1024], networks: besideOthers),
      Series(measure: .tcpStreamBeside(.busy), sizes: [1024], networks: besideOthers),
      Series(measure: .tcpStreamBeside(.light), sizes: [1024], networks: besideOthers),
    ],
    findings: [
      PaperFinding(
        "Overlays in the kernel keep as much as no container, beside busy ones",
        .asRobust(["vxlan", "flannel"]), .tcpStreamBeside(.busy)),
      PaperFinding(
        "Overlays in the kernel keep as much as no container, beside light ones",
        .asRobust(["vxlan", "flannel"]), .tcpStreamBeside(.light)),
      PaperFinding("Daemons in user space suffer most", .lacks(noDaemons), .tcpStream),
    ], differs: "the busy ones are threads that the scheduler places, on all of this machine's CPUs",
    missing: missing)

  private static let exchanging = 1024
  private static func exchange(_ span: Span, _ networks: [String]) -> [Series] {
    [2, 4, 8].map {
      Series(measure: .allToAll(containers: $0), sizes: [exchanging], span: span, networks: networks)
    } + [
      Series(
        measure: .allToAll(containers: 16), sizes: [], moreSizes: [exchanging], span: span, networks: networks
      )
    ]
  }

  static let fig9 = PaperExperiment(
    id: "fig9", title: "All-to-all latency by number of containers, 1024 B",
    paper:
      "osu_alltoall on one host, one against the rest on another, and half on each: the bridge does not scale, between hosts it takes ten times as long, and the gap grows with the number",
    series: exchange(.oneHost, ["container", "bridge", "bridge+tc", "vxlan"])
      + exchange(.twoHosts, ["vxlan", "vxlan+tc", "flannel"])
      + exchange(.oneToMany, ["vxlan", "vxlan+tc", "flannel"]),
    findings: [
      PaperFinding(
        "On one host the bridge takes longer", .slower(["bridge"], than: baseline), .allToAll(containers: 2),
        span: .oneHost),
      PaperFinding(
        "The bridge falls behind as containers are added", .scalesLess(["bridge"]), .allToAll(containers: 2),
        span: .oneHost),
      PaperFinding(
        "Between hosts overlays take longer", .slower(["vxlan", "flannel"], than: baseline),
        .allToAll(containers: 2), span: .twoHosts),
      PaperFinding(
        "An overlay takes longer between hosts than on one", .slowerAcrossHosts(["vxlan"]),
        .allToAll(containers: 2)),
      PaperFinding(
        "Overlays fall behind as containers are added", .scalesLess(["vxlan", "flannel"]),
        .allToAll(containers: 2), span: .twoHosts),
    ], differs: "hosts share this machine's CPUs: on one host or two, as many threads have as much of them",
    missing: missing)

  static let table5 = PaperExperiment(
    id: "table5", title: "CPU use and service demand of UDP_RR at each end",
    paper:
      "netperf, one CPU each: an overlay takes 27 % more CPU time a transaction of the client and 2.5 times as much of the server, daemons in user space most",
    series: PathEnd.allCases.map { end in
      Series(
        measure: .demand(end), sizes: [16],
        networks: ["host", "vxlan", "vxlan+tc", "flannel", "flannel+tc", "calico"],
        moreNetworks: ["calico+tc"])
    },
    findings: PathEnd.allCases.flatMap { end in
      [
        PaperFinding(
          "Overlays take more CPU time of the \(end.rawValue)",
          .slower(["vxlan", "flannel"], than: baseline), .demand(end)),
        PaperFinding(
          "Overlays take the most CPU time of the \(end.rawValue)", .worst(["vxlan", "flannel"]), .demand(end)
        ),
      ]
    } + [PaperFinding("Daemons in user space take the most", .lacks(noDaemons), .demand(.client))],
    values: PaperValue.of(
      .demand(.client), 16, ["bare": 75.466, "host": 82.403, "vxlan": 95.867, "flannel": 127.118])
      + PaperValue.of(
        .demand(.server), 16, ["bare": 41.626, "host": 53.127, "vxlan": 106.145, "flannel": 119.659]),
    differs:
      "each host has one of two CPUs, and its packets are received there (RPS); the lowest-priority spinners that tell CPU time keep the CPUs from idling; 16 B, netperf's is 1 B",
    missing: missing)

  static let table6 = PaperExperiment(
    id: "table6", title: "Launch: from create to the first ping answered",
    paper:
      "Docker, mean of ten, warm: 239 ms with a shared namespace, 497 ms on the host's, 540 ms without a network, 663 ms on a bridge, 675 ms with NAT, 2.4 to 11.4 s on overlays",
    series: [
      Series(
        measure: .launch, sizes: [56],
        networks: [
          "none", "container", "host", "bridge", "nat", "vxlan", "vxlan+auto", "flannel", "flannel+auto",
          "calico",
        ])
    ],
    findings: [
      PaperFinding(
        "A shared namespace launches fastest",
        .slower(["none", "bridge", "nat", "vxlan", "flannel"], than: "container"), .launch),
      PaperFinding("A bridge launches slower than no network", .slower(["bridge"], than: "none"), .launch),
      PaperFinding("NAT launches slower than a bridge", .slower(["nat"], than: "bridge"), .launch),
      PaperFinding(
        "Overlays launch slower than a bridge", .slower(["vxlan", "flannel"], than: "bridge"), .launch),
    ],
    values: PaperValue.of(
      .launch, 56,
      [
        "none": 539.6, "container": 239.4, "host": 497.4, "bridge": 663.1, "nat": 674.5, "vxlan": 10_979.8,
        "flannel": 3970.3,
      ]),
    differs:
      "namespace, interface, address, routes and a ping, without a container engine, an image or a key-value store; rules that name the container are there before",
    missing: missing)
}
