// SPDX-License-Identifier: Apache-2.0
import FastPath
import Foundation
import LinuxSystem
import Netlink
import PacketHeaders

/// How fast the mirror follows the kernel: from a change of the VXLAN device's FDB to
/// the same change in the BPF map, at a given number of entries.
public struct TableCost: Sendable {
  public var entries: Int
  public var changes: Int

  public init(entries: Int, changes: Int) {
    self.entries = entries
    self.changes = changes
  }

  public struct Result: Codable, Sendable {
    public static let schemaName = "culvert.cost-table/1"
    public var schema = Self.schemaName
    public var entries: Int
    /// Microseconds from before the request to the kernel until the map has it, ascending: an address that
    /// moves to another VTEP, a new one, one that goes.
    public var changeToMap: [Double] = []
    public var insertToMap: [Double] = []
    public var deleteToMap: [Double] = []
    /// What was not seen within a second.
    public var missed = 0
    /// Seconds to dump, resolve and write everything at the start.
    public var start: Double
    /// Bytes of kernel memory per entry that fits.
    public var bytesPerEntry: Double

    enum CodingKeys: String, CodingKey {
      case schema, entries, missed
      case changeToMap = "change_to_map_us"
      case insertToMap = "insert_to_map_us"
      case deleteToMap = "delete_to_map_us"
      case start = "start_s"
      case bytesPerEntry = "bytes_per_entry"
    }

    public func encoded() throws -> Data {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return try encoder.encode(self)
    }

    public static func decoded(_ data: Data) throws -> Result {
      try JSONDecoder().decode(Result.self, from: data)
    }

    public var text: String {
      func number(_ value: Double) -> String { String(format: "%.1f", value) }
      func line(_ name: String, _ samples: [Double]) -> String {
        let figures = [0.5, 0.99, 1].map { number(Self.percentile(samples, $0)) }
        return "  \(name)"
          + figures.map { String(repeating: " ", count: max(1, 12 - $0.count)) + $0 }.joined()
      }
      return """
        kernel's FDB → BPF map, \(changeToMap.count) of each at \(entries) entries, µs
                            p50         p99         max
        \(line("moved   ", changeToMap))
        \(line("inserted", insertToMap))
        \(line("deleted ", deleteToMap))
          missed \(missed)
        start with \(entries) entries: \(number(start * 1000)) ms; \(number(bytesPerEntry)) bytes an entry
        """
    }

    /// Of ascending samples.
    public static func percentile(_ samples: [Double], _ fraction: Double) -> Double {
      guard !samples.isEmpty else { return .nan }
      return samples[min(samples.count - 1, Int((Double(samples.count) * fraction).rounded(.up)) - 1)]
    }
  }

  /// Builds an overlay of its own in namespaces without names, which go with the call.
  public func run() throws -> Result {
    let host = try NetworkNamespace.makeAnonymous()
    let far = try NetworkNamespace.makeAnonymous()
    let reference = "/proc/self/fd/\(host.descriptor.raw)"
    let connection = try RouteConnection.open(in: host)
    let (vxlan, macs) = try build(connection, host: host, far: far)
    let capacity = UInt32(entries + 1024)
    let begin = Clock.monotonicNanoseconds
    let service = try FastPathService.start(
      FastPathOptions(overlay: "br0", namespace: reference, entryCapacity: capacity))
    let start = Double(Clock.monotonicNanoseconds - begin) / 1e9
    let reader = try service.tableReader()
    var result = Result(
      entries: entries, start: start, bytesPerEntry: Double(reader.memory) / Double(capacity))
    func time(
      _ samples: inout [Double], _ mac: MACAddress, until target: IPAddress?, _ request: () throws -> Void
    ) throws {
      let asked = Clock.monotonicNanoseconds
      try request()
      var elapsed = Clock.monotonicNanoseconds - asked
      while try reader.remote(of: mac) != target, elapsed < 1_000_000_000 {
        elapsed = Clock.monotonicNanoseconds - asked
      }
      if elapsed < 1_000_000_000 {
        samples.append(Double(Clock.monotonicNanoseconds - asked) / 1000)
      } else {
        result.missed += 1
      }
    }
    for change in 0..<changes {
      let mac = macs[(change &* 7919) % macs.count]
      let target = try reader.remote(of: mac) == Self.vteps[0] ? Self.vteps[1] : Self.vteps[0]
      try time(&result.changeToMap, mac, until: target) {
        try connection.changeFDB(.replace, Self.remote(mac, vxlan, target))
      }
      let new = Self.mac(entries + change)
      try connection.changeFDB(.replace, FDBRequest(link: vxlan, mac: new, table: .bridge))
      try time(&result.insertToMap, new, until: Self.vteps[0]) {
        try connection.changeFDB(.replace, Self.remote(new, vxlan, Self.vteps[0]))
      }
      try time(&result.deleteToMap, new, until: nil) {
        try connection.changeFDB(.delete, Self.remote(new, vxlan, Self.vteps[0]))
      }
      try connection.changeFDB(.delete, FDBRequest(link: vxlan, mac: new, table: .bridge))
    }
    try service.stop()
    result.changeToMap.sort()
    result.insertToMap.sort()
    result.deleteToMap.sort()
    return result
  }

  private static func mac(_ number: Int) -> MACAddress {
    MACAddress(value: 0x0200_0000_0000 + UInt64(number) + 1)
  }

  private static let vteps = [IPAddress("198.18.0.2")!, IPAddress("198.18.0.3")!]

  private static func remote(_ mac: MACAddress, _ vxlan: Int32, _ vtep: IPAddress) -> FDBRequest {
    FDBRequest(link: vxlan, mac: mac, table: .device, destination: vtep)
  }

  private func build(
    _ connection: borrowing RouteConnection, host: borrowing NetworkNamespace, far: borrowing NetworkNamespace
  ) throws -> (vxlan: Int32, macs: [MACAddress]) {
    try connection.createVeth(LinkSettings("eth0"), LinkSettings("eth0", namespace: far.descriptor.raw))
    let uplink = try connection.link(named: "eth0")
    try connection.addAddress(uplink.index, .v4(IPv4Address("198.18.0.1")!), prefix: 24)
    try connection.setUp(uplink.index)
    try far.run {
      let there = try RouteConnection()
      try there.setUp(there.link(named: "eth0").index)
      // NAPI, without which nothing can be redirected to the wire.
      try Ethtool().setFeatures(of: "eth0", ["rx-gro": true])
    }
    for (index, vtep) in Self.vteps.enumerated() {
      try connection.changeNeighbour(
        .replace, link: uplink.index, vtep, mac: MACAddress(value: 0x0200_5e00_5300 + UInt64(index)))
    }
    try connection.createBridge(LinkSettings("br0"))
    var settings = VXLANSettings(vni: 42)
    settings.local = IPAddress("198.18.0.1")
    settings.link = uplink.index
    try connection.createVXLAN(LinkSettings("vx0"), settings)
    let bridge = try connection.link(named: "br0").index
    let vxlan = try connection.link(named: "vx0").index
    try connection.setMaster(vxlan, bridge)
    try connection.setUp(vxlan)
    try connection.setUp(bridge)
    try host.run {
      for family in ["ip", "ip6", "arp"] {
        let path = "/proc/sys/net/bridge/bridge-nf-call-\(family)tables"
        // Without the bridge netfilter module there is nothing to switch off.
        if (try? FileText.read(path)) != nil { try FileText.write("0", to: path) }
      }
    }
    let macs = (0..<entries).map(Self.mac)
    for mac in macs {
      try connection.changeFDB(.replace, FDBRequest(link: vxlan, mac: mac, table: .bridge))
      try connection.changeFDB(.replace, Self.remote(mac, vxlan, Self.vteps[0]))
    }
    return (vxlan, macs)
  }
}
