// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders

/// An address and a port, as bind(2) and connect(2) take them.
public struct Endpoint: Hashable, Sendable {
  public var address: IPAddress
  public var port: UInt16
  public init(_ address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  var family: Int32 {
    switch address {
    case .v4: AF_INET
    case .v6: AF_INET6
    }
  }

  /// Bytes of an IP header without options, which the MTU includes.
  var headerBytes: Int { family == AF_INET ? 20 : 40 }

  func withSocketAddress<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    var storage = sockaddr_storage()
    let length = withUnsafeMutableBytes(of: &storage) { bytes -> Int in
      switch address {
      case .v4(let v4):
        bytes.storeBytes(
          of: sockaddr_in(
            sin_family: sa_family_t(AF_INET), sin_port: port.bigEndian,
            sin_addr: in_addr(s_addr: v4.bigEndian), sin_zero: (0, 0, 0, 0, 0, 0, 0, 0)),
          as: sockaddr_in.self)
        return MemoryLayout<sockaddr_in>.size
      case .v6(let v6):
        var wide = sockaddr_in6()
        wide.sin6_family = sa_family_t(AF_INET6)
        wide.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &wide.sin6_addr) { $0.copyBytes(from: v6.octets) }
        bytes.storeBytes(of: wide, as: sockaddr_in6.self)
        return MemoryLayout<sockaddr_in6>.size
      }
    }
    return withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
    }
  }
}

/// One end of a path: the namespace its sockets live in, its addresses and the CPU its thread is pinned to.
public struct Station: Sendable {
  public let name: String
  public let namespace: SharedNamespace
  public var ipv4: IPv4Address
  public var ipv6: IPv6Address?
  /// The address that the other end meets it at, where a translation is in between; nil: its own.
  public var seenAs: IPv4Address?
  /// What it is seen as is a service: TCP and UDP lead to it, ping does not.
  var isService = false
  public var cpu: Int?

  public init(
    name: String, namespace: SharedNamespace, ipv4: IPv4Address, ipv6: IPv6Address? = nil,
    seenAs: IPv4Address? = nil, cpu: Int? = nil
  ) {
    self.seenAs = seenAs
    self.name = name
    self.namespace = namespace
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.cpu = cpu
  }

  public func pinned(to cpu: Int?) -> Station {
    var copy = self
    copy.cpu = cpu
    return copy
  }

  /// The same, by an address of its namespace's loopback that tells it from another end there: 127.0.0.NUMBER.
  public func onLoopback(_ number: UInt8) -> Station {
    var copy = self
    copy.ipv4 = IPv4Address([127, 0, 0, number] as [UInt8])!
    (copy.ipv6, copy.seenAs) = (nil, nil)
    return copy
  }

  /// The same, met at the address of a service that leads to it.
  public func asService(_ address: IPv4Address?) -> Station {
    var copy = self
    (copy.seenAs, copy.isService, copy.ipv6) = (address, true, nil)
    return copy
  }

  /// Moves the calling thread to this end: namespace, then CPU.
  func enter() throws(Failure) {
    try namespace.value.enter()
    if let cpu { try CPU.pin(to: cpu) }
  }
}

/// A namespace that several threads hold.
public final class SharedNamespace: Sendable {
  public let value: NetworkNamespace
  public init(_ value: consuming NetworkNamespace) { self.value = value }
}
