// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What a device is to the fast path.
enum PortRole: Hashable {
  /// A container's port, in its overlay's forwarding domain.
  case workload(domain: UInt32)
  /// VXLAN leaves and arrives here, of every overlay that the underlay has.
  case uplink

  var domain: UInt32? { if case .workload(let domain) = self { domain } else { nil } }
}

/// A network device: an interface's number alone may be of several namespaces.
struct Device: Hashable, Sendable {
  var namespace: NetworkNamespace.Identity
  var index: Int32
}
