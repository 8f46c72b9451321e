// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// TCP connections over the loopback device of a namespace that tracks them.
public struct TrackedConnection: ~Copyable {
  public let client: OwnedDescriptor
  public let server: OwnedDescriptor
  public let clientPort: UInt16

  /// Gives the calling thread's namespace addresses 198.18.0.1 to 198.18.0.3 and 2001:2::1, 2001:2::2, and a rule
  /// that makes it track connections.
  public static func prepareNamespace() throws {
    try shell("ip", "link", "set", "lo", "up")
    for address in ["198.18.0.1/32", "198.18.0.2/32", "198.18.0.3/32", "2001:2::1/128", "2001:2::2/128"] {
      try shell(["ip", "addr", "add", address, "dev", "lo"] + (address.contains("::") ? ["nodad"] : []))
    }
    try shell(
      ["nft", "-f", "-"],
      input: "table inet tracking { chain output { type filter hook output priority 0; ct state new counter; }; }")
  }

  /// From 198.18.0.1 or 2001:2::1; `port` 0 is one that the kernel chooses.
  public init(to address: String, _ port: UInt16, from local: String? = nil, port localPort: UInt16 = 0) throws {
    let place = try SocketAddress(address, port)
    let listener = try Self.socket(place)
    guard place.with({ bind(listener.raw, $0, $1) }) == 0, listen(listener.raw, 8) == 0 else {
      throw Failure("listen at", address, errno: .last)
    }
    try self.init(to: address, port, listener: listener, from: local, port: localPort)
  }

  /// Accepted by a listener that is there.
  public init(
    to address: String, _ port: UInt16, listener: borrowing OwnedDescriptor, from local: String? = nil,
    port localPort: UInt16 = 0
  ) throws {
    let place = try SocketAddress(address, port)
    let source = try SocketAddress(local ?? (address.contains(":") ? "2001:2::1" : "198.18.0.1"), localPort)
    let client = try Self.socket(source)
    guard source.with({ bind(client.raw, $0, $1) }) == 0, place.with({ connect(client.raw, $0, $1) }) == 0
    else { throw Failure("connect to", address, errno: .last) }
    let accepted = accept(listener.raw, nil, nil)
    guard accepted >= 0 else { throw Failure("accept at", address, errno: .last) }
    server = OwnedDescriptor(adopting: accepted)
    var name = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    withUnsafeMutablePointer(to: &name) {
      _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(client.raw, $0, &length) }
    }
    // The port is at the same place in both families' addresses.
    clientPort = withUnsafeBytes(of: name) { UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) }
    self.client = client
  }

  public static func socket(_ address: SocketAddress) throws -> OwnedDescriptor {
    let raw = Glibc.socket(
      address.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw Failure("open", "a socket", errno: .last) }
    var one: Int32 = 1
    setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    return OwnedDescriptor(adopting: raw)
  }

  /// One byte each way, so that the kernel has seen both.
  public borrowing func exchange() throws {
    var byte: UInt8 = 7
    for (from, to) in [(client.raw, server.raw), (server.raw, client.raw)] {
      guard send(from, &byte, 1, 0) == 1, recv(to, &byte, 1, 0) == 1 else {
        throw Failure("exchange a byte over", "a connection", errno: .last)
      }
    }
  }
}
