// SPDX-License-Identifier: Apache-2.0
import Lab

/// What a relay stands between.
struct RelayPorts {
  var container: String
  var uplink = LabNames.uplink

  init(_ host: LabNode) {
    // They stand on the bridged overlay's hosts.
    container = LabSpec(.vxlan).hostPort(LabIdentity(host: host.host, container: 1))!
  }
}
