// SPDX-License-Identifier: Apache-2.0
import FastPath
import Lab
import LinuxSystem
import TestSupport
import Testing
import Traffic

/// Routed overlays by tier tc on hosts with the rules of a cluster: `--policy connections`.
@Suite(.serialized, .enabled(if: mayUseKernel, Comment(rawValue: needsRoot)))
struct RoutedConnectionTests {
  static let networks = RoutedOverlayTests.networks

  private func start(_ lab: RoutedLab, _ host: LabHost) throws -> FastPathService {
    let service = try lab.start(host) { $0.policy = .connections }
    let isServed = try eventually { try service.status().ports.allSatisfy { $0.tier == "tc" } }
    let reasons = try service.status().ports.map { "\($0.name): \($0.reason ?? "served")" }
    #expect(isServed, "\(reasons)")
    return service
  }

  /// Ping, UDP of every length about the MTU and TCP of compared bytes, to a container and to a service's address, with
  /// Culvert on both hosts and on either.
  @Test(arguments: networks, [true, false])
  func carriesWhatTheKernelCarries(_ network: LabSpec.Network, _ offloads: Bool) throws {
    let lab = try RoutedLab(network, containers: 2, rules: true, offloads: offloads)
    var port: UInt16 = 20_000
    for hosts in [[LabHost.a, .b], [.a], [.b]] {
      let services = try hosts.map { try start(lab, $0) }
      for (client, server) in [("a1", "b1"), ("b2", "a1"), ("a1", "a2")] {
        for asService in [false, true] {
          let report = Gate(mtu: 1450).run(try lab.path(client, server, port: port, asService: asService))
          #expect(report.passed, "\(hosts) \(client) \(server) \(asService): \(report.summary)")
          port += 20
        }
      }
      for service in services {
        #expect(try service.count("encapsulated") > 50 && service.count("decapsulated") > 50)
        // What begins and ends connections, and what is of none.
        #expect(try service.count("connection") > 20)
        try service.stop()
      }
    }
  }
}
