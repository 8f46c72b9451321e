// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Lab
import LinuxSystem

struct LabList: CulvertCommand {
  static let configuration = CommandConfiguration(commandName: "list", abstract: "Show the labs that stand.")

  @Flag(help: "Print JSON.")
  var json = false

  func execute() throws {
    let labs = try Lab.list()
    if json { return try Terminal.json(["labs": labs.map(Entry.init)]) }
    guard !labs.isEmpty else { return Terminal.note("no labs; `culvert lab up vxlan` builds one") }
    Self.table(
      [["NAME", "STATE", "NETWORK", "CONTAINERS", "MTU", "OFFLOADS", "UDPCSUM", "QUEUES"]]
        + labs.map(Self.row))
  }

  private static func row(_ lab: LabSummary) -> [String] {
    let row = [lab.name, lab.state.rawValue]
    guard let spec = lab.spec else { return row + [String](repeating: "?", count: 6) }
    return row + [
      spec.network.rawValue, String(spec.containers), String(spec.mtu), spec.offloads ? "on" : "off",
      spec.udpChecksum ? "on" : "off", String(spec.queues),
    ]
  }

  private static func table(_ rows: [[String]]) {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
      let padded = zip(row.dropLast(), widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
      Terminal.result((padded + row.suffix(1)).joined(separator: "  "))
    }
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
    var nodes: [Node]

    init(_ lab: LabSummary) {
      name = lab.name
      state = lab.state.rawValue
      network = lab.spec?.network.rawValue
      containers = lab.spec?.containers
      mtu = lab.spec?.mtu
      offloads = lab.spec.map { $0.offloads ? "on" : "off" }
      udpcsum = lab.spec.map { $0.udpChecksum ? "on" : "off" }
      queues = lab.spec?.queues
      nodes = lab.nodes.map {
        Node(name: $0.name, address: "\($0.address)", mac: "\($0.mac)", netns: $0.reference)
      }
    }
  }
}
