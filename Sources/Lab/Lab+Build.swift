// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

extension Lab {
  /// Makes the devices inside namespaces that are yet empty. Nothing ever appears in
  /// any other namespace.
  func build() throws {
    for node in nodes { try Quiet.prepare(node, spec) }
    try buildWire()
    for host in LabHost.allCases {
      if let bridge = spec.network.bridge { try buildBridge(host, bridge) }
      if spec.network == .vxlan { try buildOverlay(host) }
      for container in containers(of: host) { try attach(container, to: self.host(host)) }
      if spec.isDockers { try buildDockerRules(host) }
      if spec.network == .nat { try buildTranslation(host) }
      if spec.network.isRouted { try buildRouting(host) }
    }
    try setOffloads()
    try Quiet.settle(nodes)
  }

  private func buildWire() throws {
    let (a, b) = (host(.a), host(.b))
    let other = b.namespace.descriptor.raw
    try a.run {
      try RouteConnection().createVeth(
        settings(LabNames.uplink, spec.mtu, a.mac),
        settings(LabNames.uplink, spec.mtu, b.mac, namespace: other))
    }
    for node in [a, b] { try address(node) }
  }

  /// One end of a veth pair, with as many queues as the lab has.
  private func settings(
    _ name: String, _ mtu: UInt32, _ mac: MACAddress, namespace: Int32? = nil
  ) -> LinkSettings {
    let queues = spec.queues > 1 ? UInt32(spec.queues) : nil
    return LinkSettings(
      name, mtu: mtu, mac: mac, namespace: namespace, transmitQueues: queues, receiveQueues: queues)
  }

  private func buildBridge(_ host: LabHost, _ name: String) throws {
    let node = self.host(host)
    try node.run {
      let route = try RouteConnection()
      let settings = BridgeSettings(multicastSnooping: false, stp: false)
      try route.createBridge(
        LinkSettings(name, mtu: spec.containerMTU, mac: node.identity.bridgeMAC), settings)
      let bridge = try route.link(named: name).index
      // On flannel's the host is always its containers' gateway.
      if spec.network == .flannel || spec.isDockers || spec.hostAddress {
        let prefix: UInt8 = spec.network == .flannel ? 24 : 16
        try route.addAddress(bridge, .v4(node.identity.bridgeAddress), prefix: prefix)
      }
      try route.setUp(bridge)
    }
  }

  /// A VXLAN device that floods to the other host and learns.
  private func buildOverlay(_ host: LabHost) throws {
    let node = self.host(host)
    try node.run {
      let route = try RouteConnection()
      var vxlan = VXLANSettings(vni: LabNames.vni)
      vxlan.port = LabNames.port
      vxlan.local = .v4(node.address)
      vxlan.link = try route.link(named: LabNames.uplink).index
      vxlan.learning = true
      vxlan.udpChecksum = spec.udpChecksum
      try route.createVXLAN(
        LinkSettings(LabNames.vxlan, mtu: spec.containerMTU, mac: node.identity.vxlanMAC), vxlan)
      let bridge = try route.link(named: LabNames.bridge).index
      let device = try route.link(named: LabNames.vxlan).index
      try route.changeFDB(
        .append,
        FDBRequest(
          link: device, mac: .zero, table: .device, destination: .v4(self.host(host.other).address),
          state: FDBRequest.permanent))
      try route.setMaster(device, bridge)
      try route.setUp(device)
    }
  }

  func attach(_ container: LabNode, to host: LabNode) throws {
    guard let port = container.hostPort else {
      // On `host` it has its host's address, on `none` no one to tell of one.
      if spec.network == .container { try address(container) }
      return
    }
    let inside = container.namespace.descriptor.raw
    try host.run {
      let route = try RouteConnection()
      try route.createVeth(
        settings(port, container.mtu, container.hostPortMAC),
        settings(container.interface, container.mtu, container.mac, namespace: inside))
      let index = try route.link(named: port).index
      if let bridge = spec.network.bridge {
        try route.setMaster(index, try route.link(named: bridge).index)
      }
      if spec.network == .flannel {
        var port = BridgePortSettings()
        // flannel has the bridge plugin set it, so that a container reaches itself through a service.
        port.hairpin = true
        try route.changeBridgePort(index, port)
      }
      try route.setUp(index)
    }
    try address(container)
  }

  private func address(_ node: LabNode) throws {
    try node.run {
      let route = try RouteConnection()
      let index = try route.link(named: node.interface).index
      try route.addAddress(index, .v4(node.address), prefix: node.prefix)
      if let six = node.address6 {
        try route.addAddress(index, .v6(six), prefix: node.prefix6)
      }
      try route.setUp(index)
    }
  }

  /// Takes the devices away at once, where letting go of the namespaces would leave
  /// them to the kernel's leisure, or to a process that is still inside.
  public func tearDown() throws {
    for host in LabHost.allCases { try self.host(host).removeDevices(spec) }
  }
}

extension LabNode {
  /// Of a host, with its rules; its containers' ends go with their ports.
  func removeDevices(_ spec: LabSpec) throws {
    let ports = spec.identities.filter { $0.host == host }.compactMap(spec.hostPort)
    let names =
      ports + [spec.network.overlay?.device, spec.network.bridge, LabNames.uplink].compactMap { $0 }
    try run {
      let route = try RouteConnection()
      for link in try route.links() where names.contains(link.name) {
        do throws(Failure) {
          try route.delete(link: link.index)
        } catch {
          // A VXLAN device goes with its underlay device.
          guard error.errno == .operationNotSupportedByDevice else { throw error }
        }
      }
      try NFTables.remove(spec.network.tables, on: name)
    }
  }
}
