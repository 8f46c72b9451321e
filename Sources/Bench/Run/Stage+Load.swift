// SPDX-License-Identifier: Apache-2.0
import Lab
import PacketHeaders
import Traffic

extension Stage {
  /// Of the inner flow: discard's, so that nothing ever answers it; where policy names ports, one of those.
  private var innerPorts: (source: UInt16, destination: UInt16) {
    lab.spec.network.isRouted ? (Self.establishedPort, Self.establishedPort) : (1234, 9)
  }
  private static let establishedPort = LabNames.publishedPorts.upperBound
  /// What a kernel's VXLAN device could have hashed this flow to.
  private static let outerSourcePort: UInt16 = 49_152

  /// The frames of `packet-rate`, where they leave and where they are counted.
  ///
  /// encap: out of a1, counted behind hostA, at hostB's uplink. decap: out of hostA's uplink as hostA would
  /// have encapsulated them, counted behind hostB, in b1. `bare`: out of hostA's uplink, counted at hostB's.
  /// `bridge`: out of a1, counted in a2. Where hosts route, containers send to their gateway. Relays: as encap and decap, but the frames stay as they are.
  /// - Parameter size: bytes of the inner frame with its Ethernet header, without its check sequence.
  func load(_ network: Network, _ direction: PacketDirection, size: Int) -> PacketRate {
    let (hostA, hostB) = (lab.host(.a), lab.host(.b))
    let ends = ends(network)
    let plain = FrameTemplate.udp(
      from: FlowEnd(mac: ends.client.mac, ipv4: ends.client.address, port: innerPorts.source),
      to: FlowEnd(
        mac: network.isOfHosts ? ends.server.mac : ends.client.gatewayMAC ?? ends.server.mac,
        ipv4: ends.server.address, port: innerPorts.destination),
      size: size)
    guard let overlay = lab.spec.network.overlay, !network.isOfHosts else {
      return rate(ends.client, ends.server, plain)
    }
    let inner =
      lab.spec.network.isRouted
      ? plain.routed(from: hostA.overlayMAC, to: hostB.overlayMAC) : plain
    let outer = FrameTemplate.vxlan(
      inner, vni: overlay.vni,
      from: FlowEnd(mac: hostA.mac, ipv4: hostA.address, port: Self.outerSourcePort),
      to: FlowEnd(mac: hostB.mac, ipv4: hostB.address, port: overlay.port),
      withChecksum: lab.spec.udpChecksum)
    let isChanged = !network.isRelay
    return switch direction {
    case .encap: rate(ends.client, hostB, plain, arrivesInTunnel: isChanged)
    case .decap: rate(hostA, ends.server, outer, leavesInTunnel: true, arrivesInTunnel: !isChanged)
    }
  }

  /// Where hosts track connections: has the frames' flow be one that was answered, as all but the first packets of
  /// one are.
  func establish(_ network: Network) throws {
    guard lab.spec.network.isRouted, !network.isOfHosts else { return }
    let ends = ends(network)
    try Gate(mtu: Int(ends.client.mtu)).establish(
      Path(client: station(ends.client), server: station(ends.server), port: Self.establishedPort))
  }

  /// Makes frames those of several containers, each of hostA with one of hostB.
  /// - Parameter run: frames that a container's turn lasts.
  func takeTurns(_ load: inout PacketRate, _ direction: PacketDirection, containers: Int, run: Int) {
    let sources = lab.containers(of: .a).prefix(containers)
    let sinks = lab.containers(of: .b).prefix(containers)
    let pairs = zip(sources, sinks).map { source, sink in
      FrameTurns.Pair(
        source: source.mac, destination: sink.mac,
        device: direction == .encap ? (station(source).namespace, source.interface) : nil)
    }
    load.turns = FrameTurns(pairs, offset: direction == .encap ? 0 : Int(LabSpec.overhead), run: run)
    if direction == .decap { load.moreSinks = sinks.dropFirst().map { station($0) } }
  }

  /// Makes each frame one to or from another of the addresses that `fill` put into the tables.
  func takeAny(_ load: inout PacketRate, _ direction: PacketDirection, of entries: Int) {
    let offset = direction == .encap ? 0 : Int(LabSpec.overhead) + 6
    load.numbers = FrameNumbers(UInt32(entries), from: Self.firstOfMany, offset: offset)
  }

  private func rate(
    _ source: LabNode, _ sink: LabNode, _ frame: FrameTemplate, leavesInTunnel: Bool = false,
    arrivesInTunnel: Bool = false
  ) -> PacketRate {
    func stamp(_ isInTunnel: Bool) -> Int {
      FrameTemplate.headerBytes + (isInTunnel ? Int(LabSpec.overhead) : 0)
    }
    return PacketRate(
      source: station(source).pinned(to: 0), sourceInterface: source.interface,
      sink: station(sink), sinkInterface: sink.interface,
      port: arrivesInTunnel ? lab.spec.network.overlay!.port : innerPorts.destination, frame: frame,
      stampOffsets: (stamp(leavesInTunnel), stamp(arrivesInTunnel)))
  }
}
