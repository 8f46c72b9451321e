// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Lab
import LinuxSystem

struct LabList: CulvertCommand {
  static let configuration = CommandConfiguration(commandName: "list", abstract: "List the labs.")

  @Flag(help: "Print JSON.")
  var json = false

  func execute() throws {
    let labs = try Lab.list()
    if json { return try Terminal.json(List(labs: try labs.map(Entry.init))) }
    guard !labs.isEmpty else { return Terminal.note("no labs; `culvert lab up vxlan` builds one") }
    let lines = Self.table(
      [["NAME", "STATE", "NETWORK", "CONTAINERS", "MTU", "OFFLOADS", "UDPCSUM", "QUEUES"]]
        + (try labs.map(Self.row)))
    try Terminal.result(lines[0])
    for (lab, line) in zip(labs, lines.dropFirst()) {
      try Terminal.result(line)
      for node in lab.nodes { try Terminal.result("  \(node.name) \(node.address) in \(node.reference)") }
    }
  }

  /// As `lab up` takes it: with the tier that serves both hosts.
  private static func network(_ lab: LabSummary, _ spec: LabSpec) throws -> String {
    guard lab.state == .up, spec.network.served != nil else { return spec.network.rawValue }
    let served = try LabTier.served(on: try Lab.open(name: lab.name))
    guard served.count == LabHost.allCases.count, Set(served.map(\.tier)).count == 1 else {
      let some = served.map { "\($0.tier) on \($0.host)" }.joined(separator: ", ")
      return spec.network.rawValue + (some.isEmpty ? "" : " (\(some))")
    }
    return "\(spec.network.rawValue)+\(served[0].tier)"
  }

  private static func row(_ lab: LabSummary) throws -> [String] {
    let row = [lab.name, lab.state.rawValue]
    guard let spec = lab.spec else { return row + [String](repeating: "?", count: 6) }
    return row + [
      try network(lab, spec), String(spec.containers), String(spec.mtu), spec.offloads ? "on" : "off",
      spec.udpChecksum ? "on" : "off", String(spec.queues),
    ]
  }

  private static func table(_ rows: [[String]]) -> [String] {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let padded = zip(row.dropLast(), widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
      return (padded + row.suffix(1)).joined(separator: "  ")
    }
  }

  private struct List: Encodable {
    var schema = "culvert.lab-list/1"
    var labs: [Entry]
  }

  private struct Entry: Encodable {
    struct Node: Encodable {
      var name: String
      var address: String
      var mac: String
      var netns: String
    }
    var name: String
    var state: String
    var network: String?
    var containers: Int?
    var mtu: UInt32?
    var offloads: String?
    var udpcsum: String?
    var queues: Int?
    /// Of the hosts that a fast path serves: its tier.
    var tiers: [String: String]
    var nodes: [Node]

    init(_ lab: LabSummary) throws {
      name = lab.name
      state = lab.state.rawValue
      network = lab.spec?.network.rawValue
      containers = lab.spec?.containers
      mtu = lab.spec?.mtu
      offloads = lab.spec.map { $0.offloads ? "on" : "off" }
      udpcsum = lab.spec.map { $0.udpChecksum ? "on" : "off" }
      queues = lab.spec?.queues
      let isOverlay = lab.state == .up && lab.spec?.network.served != nil
      let served = isOverlay ? try LabTier.served(on: try Lab.open(name: lab.name)) : []
      tiers = Dictionary(served.map { ($0.host, $0.tier) }, uniquingKeysWith: { $1 })
      nodes = lab.nodes.map {
        Node(name: $0.name, address: "\($0.address)", mac: "\($0.mac)", netns: $0.reference)
      }
    }
  }
}
