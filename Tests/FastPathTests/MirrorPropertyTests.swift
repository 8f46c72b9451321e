// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath
@testable import Netlink

/// Random changes by `bridge` and `ip`; after each the followed state must equal what
/// the kernel says when asked afresh, by another tool's parser.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct MirrorPropertyTests {
  static let vteps = ["198.18.0.2", "198.18.0.3", "198.18.0.4"]

  /// The bridge's and the VXLAN device's entries as `bridge -j fdb show` has them.
  struct Truth: Equatable {
    var bridge: [String: String] = [:]
    var remote: [String: String] = [:]
    var flood: [String: Set<String>] = [:]
  }

  static func truth() throws -> Truth {
    let text = try shell("bridge", "-j", "-d", "fdb", "show")
    let entries = try JSONSerialization.jsonObject(with: Data(text.utf8)) as! [[String: Any]]
    var truth = Truth()
    for entry in entries {
      let mac = entry["mac"] as! String
      let device = entry["ifname"] as! String
      if entry["master"] != nil || (device == "br0" && entry["dst"] == nil) {
        guard entry["vlan"] == nil, entry["master"] as? String == "br0" || device == "br0" else { continue }
        truth.bridge[mac] = device
      } else if device == "vx0", let destination = entry["dst"] as? String {
        var text = destination
        if let port = entry["port"] { text += " port \(port)" }
        if let vni = entry["vni"] { text += " vni \(vni)" }
        let isGroup = UInt8(mac.prefix(2), radix: 16)! & 1 == 1 || mac == "00:00:00:00:00:00"
        if isGroup { truth.flood[mac, default: []].insert(text) } else { truth.remote[mac] = text }
      }
    }
    return truth
  }

  static func mirrored(_ state: OverlayState) -> Truth {
    var truth = Truth()
    func text(_ entry: FDBEntry) -> String {
      guard case .v4(let address)? = entry.destination else { return "?" }
      return "\(address)" + (entry.port.map { " port \($0)" } ?? "") + (entry.vni.map { " vni \($0)" } ?? "")
    }
    for (mac, entry) in state.bridgeEntries {
      truth.bridge["\(mac)"] = state.links[entry.link]?.name ?? "interface \(entry.link)"
    }
    for (key, entry) in state.remoteEntries { truth.remote["\(key.mac)"] = text(entry) }
    for (key, list) in state.floodEntries { truth.flood["\(key.mac)"] = Set(list.map(text)) }
    return truth
  }

  @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func followsTheKernelThroughRandomChanges(seed: UInt64) throws
  {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run {
      // Without router solicitations and the like, nothing is learned but by the test.
      try "1".write(
        toFile: "/proc/sys/net/ipv6/conf/default/disable_ipv6", atomically: false, encoding: .utf8)
      try shell("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire0")
      try shell("ip", "addr", "add", "198.18.0.1/24", "dev", "eth0")
      try shell("ip", "link", "set", "eth0", "up")
      try shell("ip", "link", "add", "br0", "type", "bridge")
      try shell(
        "ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "local", "198.18.0.1", "dstport", "4789",
        "dev", "eth0")
      try shell("ip", "link", "set", "vx0", "master", "br0", "up")
      try shell("ip", "link", "set", "br0", "up")
      for port in 1...3 {
        try shell("ip", "link", "add", "va\(port)", "type", "veth", "peer", "name", "pa\(port)")
        try shell("ip", "link", "set", "va\(port)", "master", "br0", "up")
        try shell("ip", "link", "set", "pa\(port)", "up")
      }
      let monitor = Box(try RouteMonitor())
      let connection = try RouteConnection()
      let links = try connection.links()
      var state = OverlayState(
        bridge: links.first { $0.name == "br0" }!.index, vxlan: links.first { $0.name == "vx0" }!.index)
      state.reset(links: links, fdb: try connection.fdb())
      #expect(Self.mirrored(state) == (try Self.truth()))

      var random = SplitMix(state: seed)
      for step in 1...100 {
        let command = Self.randomChange(&random)
        // A change that the kernel refuses (append to a unicast MAC, delete of an absent one) changes nothing.
        let refused = (try? shell(command)) == nil
        var events: [NetlinkEvent] = []
        #expect(try monitor.value.receive(into: &events) == .drained)
        for event in events { _ = state.apply(event) }
        let expected = try Self.truth()
        let actual = Self.mirrored(state)
        #expect(
          actual == expected,
          "seed \(seed), step \(step): \(command.joined(separator: " "))\(refused ? " (refused)" : "")")
        guard actual == expected else { return }
      }
    }
  }

  static func randomChange(_ random: inout SplitMix) -> [String] {
    func pick<T>(_ list: [T]) -> T { list[Int(random.next() % UInt64(list.count))] }
    let mac = "02:00:00:00:00:0\(1 + random.next() % 6)"
    let port = pick(["va1", "va2", "va3", "vx0"])
    let kind = pick(["static", "dynamic"])
    switch random.next() % 12 {
    case 0, 1: return ["bridge", "fdb", "replace", mac, "dev", port, "master", kind]
    case 2: return ["bridge", "fdb", "del", mac, "dev", port, "master"]
    case 3, 4: return ["bridge", "fdb", "replace", mac, "dev", "vx0", "self", kind, "dst", pick(vteps)]
    case 5:
      return [
        "bridge", "fdb", "replace", mac, "dev", "vx0", "self", "dst", pick(vteps), "port", "8472", "vni", "7",
      ]
    case 6: return ["bridge", "fdb", "del", mac, "dev", "vx0", "self"]
    case 7:
      return [
        "bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx0", "self", "permanent", "dst", pick(vteps),
      ]
    case 8: return ["bridge", "fdb", "del", "00:00:00:00:00:00", "dev", "vx0", "self", "dst", pick(vteps)]
    case 9: return ["bridge", "fdb", "append", "01:00:5e:00:00:01", "dev", "vx0", "self", "dst", pick(vteps)]
    case 10:
      return pick([["ip", "link", "set", port, "nomaster"], ["ip", "link", "set", port, "master", "br0"]])
    default:
      return pick([
        ["bridge", "fdb", "flush", "dev", "br0", "dynamic"], ["ip", "link", "set", port, "down"],
        ["ip", "link", "set", port, "up"],
      ])
    }
  }
}
