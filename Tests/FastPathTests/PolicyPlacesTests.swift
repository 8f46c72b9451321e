// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import FastPath
import Foundation
import Glibc
import LinuxSystem
import Synchronization
import TestSupport
import Testing

/// Wherever something sits that could decide otherwise: found while the fast path runs, named, the port or the
/// overlay left to the kernel; and carried again when it is gone.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct PolicyPlacesTests {
  struct Place: Sendable, CustomStringConvertible {
    var name: String
    /// Run on host A: where its uplink is, or where bridge and VXLAN device are.
    var isInUnderlay = true
    var add: [[String]]
    var remove: [[String]]
    /// In the reason, and of which port.
    var words: String
    var port = "eth0"
    var canBeBypassed = true
    var tiers = Tier.allCases
    var description: String { name }
  }

  static func chain(_ family: String, _ hook: String, _ device: String) -> [[String]] {
    [
      ["nft", "add", "table", family, "t"],
      ["nft", "add chain \(family) t c\(hook) { type filter hook \(hook) device \"\(device)\" priority 0; }"],
      ["nft", "add rule \(family) t c\(hook) counter"],
    ]
  }

  static func policy(_ verb: String, _ direction: String, _ rest: [String] = []) -> [String] {
    let ends = direction == "out" ? ["198.18.0.1/32", "198.18.0.2/32"] : ["198.18.0.2/32", "198.18.0.1/32"]
    return ["ip", "xfrm", "policy", verb, "src", ends[0], "dst", ends[1], "dir", direction] + rest
  }
  static func encrypted(_ verb: String) -> [String] {
    [
      "ip", "xfrm", "policy", verb, "src", "198.18.0.1/32", "dst", "198.18.0.2/32", "proto", "udp", "dport", "4789", "dir",
      "out", "mark", "0xd0c4e3", "mask", "0xffffffff",
    ]
  }
  static let esp = ["tmpl", "proto", "esp", "mode", "transport"]

  static let places: [Place] =
    [("netdev", "ingress"), ("inet", "ingress"), ("netdev", "egress")].flatMap { family, hook in
      [("eth0", "eth0"), ("vx0", "eth0"), ("va1", "va1")].map { device, port in
        Place(
          name: "\(family) \(hook) on \(device)", isInUnderlay: device == "eth0", add: chain(family, hook, device),
          remove: [["nft", "delete", "table", family, "t"]],
          words: "chain \(family) t c\(hook) is bound to \(device == port && port == "va1" ? "it" : device)",
          port: port)
      }
    } + [
      Place(
        name: "shaping below mq",
        add: [
          ["tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "mq"],
          [
            "tc", "qdisc", "add", "dev", "eth0", "parent", "1:1", "tbf", "rate", "4mbit", "burst", "5k",
            "latency",
            "50ms",
          ],
        ],
        remove: [["tc", "qdisc", "del", "dev", "eth0", "root"]], words: "qdisc tbf below another"),
      Place(
        name: "shaping of the VXLAN device", isInUnderlay: false,
        add: [["tc", "qdisc", "add", "dev", "vx0", "root", "tbf", "rate", "4mbit", "burst", "5k", "latency", "50ms"]],
        remove: [["tc", "qdisc", "del", "dev", "vx0", "root"]], words: "vx0 has qdisc tbf"),
      Place(
        name: "IPsec of what is marked, as of Docker's encrypted networks",
        add: [
          encrypted("add") + ["tmpl", "src", "198.18.0.1", "dst", "198.18.0.2", "proto", "esp", "spi", "0x77", "mode", "transport"]
        ],
        remove: [encrypted("del")], words: "IPsec protects the overlay's packets", canBeBypassed: false),
      Place(
        name: "IPsec, sending", add: [policy("add", "out", esp)], remove: [policy("del", "out")],
        words: "IPsec protects the overlay's packets", canBeBypassed: false),
      Place(
        name: "IPsec, receiving", add: [policy("add", "in", esp)], remove: [policy("del", "in")],
        words: "IPsec protects the overlay's packets", canBeBypassed: false),
      Place(
        name: "IPsec, what no policy is about", add: [["ip", "xfrm", "policy", "setdefault", "out", "block"]],
        remove: [["ip", "xfrm", "policy", "setdefault", "out", "accept"]],
        words: "IPsec protects the overlay's packets", canBeBypassed: false),
      Place(
        name: "marks that choose a route",
        add: [
          ["ip", "rule", "add", "fwmark", "7", "table", "77"],
          ["nft", "add", "table", "ip", "t"],
          ["nft", "add chain ip t c { type route hook output priority 0; }"],
          ["nft", "add rule ip t c udp dport 4789 meta mark set 7"],
        ],
        remove: [["ip", "rule", "del", "fwmark", "7"], ["nft", "delete", "table", "ip", "t"]],
        words: "may set the mark", canBeBypassed: false),
      Place(
        name: "a rule by source port", add: [["ip", "rule", "add", "sport", "40000-50000", "table", "77"]],
        remove: [["ip", "rule", "del", "sport", "40000-50000"]], words: "by source port", canBeBypassed: false
      ),
    ]

  /// clsact stays: a fast path without tcx has its own filter there.
  static let filters: [Place] = [("eth0", "eth0"), ("vx0", "eth0"), ("va1", "va1")].map { device, port in
    let filter = "dev \(device) ingress protocol all prio 5"
    return Place(
      name: "a tc filter on \(device)", isInUnderlay: device == "eth0",
      add: [["sh", "-c", "tc qdisc add dev \(device) clsact 2> /dev/null; tc filter add \(filter) u32 match u32 0 0 classid 1:1"]],
      remove: [["sh", "-c", "tc filter del \(filter)"]], words: "a tc ingress filter (u32)", port: port)
  }

  final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    func append(_ line: String) { lines.withLock { $0.append(line) } }
    func forget() { lines.withLock { $0 = [] } }
    func contain(_ words: String) -> Bool { lines.withLock { $0.contains { $0.contains(words) } } }
  }

  /// An overlay of the host that has the places, and what is said of it.
  private struct Served {
    let overlay: TestOverlay
    let service: FastPathService
    let bypassing: Bool
    let lines = Lines()

    init(bypassing: Bool, _ layout: TestOverlay.Layout) throws {
      self.bypassing = bypassing
      overlay = try TestOverlay(queues: 2, ipv6: false, layout: layout)
      try overlay.ping("a1", "b1")
      let lines = lines
      service = try FastPathService.start(
        // A tier's programs are not what finds it.
        overlay.options("a") {
          $0.tier = .tc
          $0.bypassPolicy = bypassing
        }
      ) { lines.append($0) }
    }

    func reasons() throws -> [String: String] {
      try service.status().ports.reduce(into: [:]) { $0[$1.name] = $1.reason }
    }
    func run(_ commands: [[String]], of place: Place) throws {
      let node = (place.isInUnderlay ? overlay.underlays : overlay.hosts)["a"]!
      for command in commands { try node.run { try shell(command) } }
    }
  }

  /// One after the other: each is gone, and all is carried again, before the next comes. In either layout, with and
  /// without `--bypass-policy` at once: most are looked for each second.
  @Test func isFoundAndNamed() throws {
    let all = try [TestOverlay.Layout.together, .split].flatMap { layout in
      try [false, true].map { try Served(bypassing: $0, layout) }
    }
    for place in Self.places + Self.filters {
      for served in all {
        #expect(try eventually { try served.reasons().isEmpty }, "before \(place)")
        served.lines.forget()
        try served.run(place.add, of: place)
      }
      for served in all {
        let what = "\(place), \(served.overlay.layout)\(served.bypassing ? ", --bypass-policy" : "")"
        if served.bypassing, place.canBeBypassed {
          let isSaid = eventually {
            served.lines.contain("--bypass-policy overrides") && served.lines.contain(place.words)
          }
          #expect(isSaid, "\(what)")
          #expect(try served.reasons().isEmpty, "\(what)")
        } else {
          #expect(try eventually { try served.reasons()[place.port]?.contains(place.words) == true }, "\(what)")
        }
      }
      for served in all { try served.run(place.remove, of: place) }
    }
    for served in all {
      #expect(try eventually { try served.reasons().isEmpty })
      try served.service.stop()
    }
  }

  /// bpf_redirect_peer() enters above the driver, so that a native program there would not see the packet.
  @Test(arguments: Tier.allCases) func aProgramInTheContainerSeesWhatItReceives(tier: Tier) throws {
    let overlay = try TestOverlay(ipv6: false)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    let b = try overlay.start("b") { $0.tier = .tc }
    let receiver = overlay.containers["a1"]!.node
    let link = Box(try receiver.open { try Dropping("eth0") })
    let from = Box(try overlay.containers["b1"]!.node.open { try PacketSocket(interface: "eth0") })
    let to = Box(try receiver.open { try PacketSocket(interface: "eth0") })
    let frame = overlay.packet(.udp4, "b1", "a1").bytes
    // Tier tc learns of the program by looking.
    #expect(
      try eventually {
        try (0..<12).allSatisfy { _ in
          try from.value.send(frame)
          return to.value.receive(milliseconds: 100) { $0 == frame } == nil
        }
      })
    for _ in 0..<10 { try from.value.send(frame) }
    #expect(try service.status().ports.first { $0.name == "va1" }?.reason == nil)
    #expect(to.value.receive(milliseconds: 300) { $0 == frame } == nil)
    withExtendedLifetime(link) {}
    try b.stop()
    try service.stop()
  }
}

extension PolicyPlacesTests {
  /// Attached without an announcement, soon or long after it was loaded.
  @Test(
    .enabled(if: TCXLink.isSupported(), "this kernel has no tcx"), arguments: [Tier.xdp, .tc],
    [TestOverlay.Layout.together, .split])
  func tcxProgramsOfOthers(tier: Tier, layout: TestOverlay.Layout) throws {
    let overlay = try TestOverlay(ipv6: false, layout: layout)
    try overlay.ping("a1", "b1")
    let service = try overlay.start("a") { $0.tier = tier }
    func reason(_ port: String) throws -> String? { try service.status().ports.first { $0.name == port }?.reason }
    #expect(try eventually { try reason("va1") == nil && reason("eth0") == nil })
    let foreign = Box(try Foreign())
    for (device, port) in [("va1", "va1"), ("eth0", "eth0"), ("vx0", "eth0"), ("va1", "va1")] {
      let node = (device == "eth0" ? overlay.underlays : overlay.hosts)["a"]!
      let link = Box(try node.open { try foreign.value.attached(to: device) })
      #expect(try eventually { try reason(port)?.contains("a tcx ingress program") == true }, "\(device)")
      withExtendedLifetime(link) {}
    }
    #expect(try eventually { try reason("va1") == nil && reason("eth0") == nil })
    try service.stop()
  }
}

/// A classifier that no process of Culvert's has attached.
private struct Foreign: ~Copyable {
  private let program: BPFProgram
  init() throws {
    let embedded = culvert_bpf_probe()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.load()
    program = try object.program("culvert_probe_decap")
  }
  func attached(to interface: String) throws -> TCXLink {
    try TCXLink(attaching: program, to: if_nametoindex(interface), interface: interface)
  }
}

/// A native XDP program on an interface of the calling thread's namespace that drops what arrives.
private struct Dropping: ~Copyable {
  private let link: XDPLink

  init(_ interface: String) throws {
    let embedded = culvert_bpf_bench()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.load()
    link = try XDPLink(
      attaching: object.program("culvert_sink"), to: if_nametoindex(interface), interface: interface,
      mode: .native)
  }
}
