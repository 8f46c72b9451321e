// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// An IPv4 or IPv6 address and a port, as bind(2) and connect(2) take them.
public struct SocketAddress: Sendable {
  private var storage = sockaddr_storage()
  private var length: socklen_t
  public var family: Int32

  public init(_ text: String, _ port: UInt16) throws {
    if text.contains(":") {
      family = AF_INET6
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      guard inet_pton(AF_INET6, text, &address.sin6_addr) == 1 else { throw Failure("parse", text) }
      length = socklen_t(MemoryLayout<sockaddr_in6>.size)
      withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in6.self) }
    } else {
      family = AF_INET
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      guard inet_pton(AF_INET, text, &address.sin_addr) == 1 else { throw Failure("parse", text) }
      length = socklen_t(MemoryLayout<sockaddr_in>.size)
      withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in.self) }
    }
  }

  public func with<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    withUnsafePointer(to: storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }
}
