// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What a network is wanted for.
public struct Question: Sendable, Equatable {
  public enum Transport: String, Sendable, CaseIterable {
    case tcp, udp
  }
  public enum Pattern: String, Sendable, CaseIterable {
    case stream, rr
  }

  public var transport: Transport
  public var pattern: Pattern
  /// Bytes of a write, a datagram or a request.
  public var size: Int
  /// Both ends are on one host.
  public var isOnOneHost: Bool
  public var isolation: Isolation
  public var needsEncryption: Bool
  /// nil: what the result has of it, off before on, as a fabric without offloads is the harder case.
  public var offloads: Offloads?
  public var placement: Placement?
  /// The network that others are to replace; nil: the kernel's overlay, where it was measured.
  public var insteadOf: String?

  public init(
    transport: Transport, pattern: Pattern, size: Int, isOnOneHost: Bool = false, isolation: Isolation = .low,
    needsEncryption: Bool = false
  ) {
    self.transport = transport
    self.pattern = pattern
    self.size = size
    self.isOnOneHost = isOnOneHost
    self.isolation = isolation
    self.needsEncryption = needsEncryption
  }

  var measure: Measure {
    switch (transport, pattern) {
    case (.tcp, .stream): .tcpStream
    case (.udp, .stream): .udpStream
    case (.tcp, .rr): .tcpRoundTrip
    case (.udp, .rr): .udpRoundTrip
    }
  }
}

/// How far containers are kept from each other, least first.
public enum Isolation: String, Sendable, CaseIterable, Comparable {
  /// Their host's interfaces and ports.
  case low
  /// Those of a namespace that several share.
  case medium
  /// Their own.
  case high

  public static func < (a: Isolation, b: Isolation) -> Bool {
    allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
  }
}

extension Network {
  /// nil: there are no containers.
  var isolation: Isolation? {
    switch base {
    case "bare": nil
    case "host": .low
    case "container": .medium
    default: .high
    }
  }

  /// What speaks against it wherever it is measured.
  var drawbacks: [String] {
    var all: [String] = []
    switch base {
    case "host": all.append("containers see the host's interfaces and share its ports")
    case "container": all.append("its containers share interfaces and ports, and are on one host")
    case "bridge": all.append("it ends at the host")
    case "nat": all.append("containers are met at published ports only, and over IPv4 alone")
    case "vxlan", Self.asShipped, "flannel", "calico": all.append("50 bytes of each packet are headers")
    default: break
    }
    switch tier {
    case "xdp":
      all.append(
        "containers lose segmentation and checksum offload, and the host's tools do not see forwarded packets"
      )
    case "afxdp":
      all.append(
        "it takes a CPU, containers lose segmentation and checksum offload, and the host's tools do not see forwarded packets"
      )
    case "tc", Self.automatic: all.append("the host's counters and firewall do not see forwarded packets")
    default: break
    }
    return all
  }
}
