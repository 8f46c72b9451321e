// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// Tells whether the rules of legacy iptables and ip6tables changed in a namespace: the kernel announces nothing, so
/// that they are read and compared. Tables that nobody made are not asked for, since asking makes them.
struct LegacyTables: ~Copyable {
  private let namespace: NetworkNamespace
  private var sockets: [Bool: Box<OwnedDescriptor>] = [:]
  /// Nil before the first reading.
  private var digests: [String: Int]?
  private var buffer: [UInt8] = []

  init(in namespace: borrowing NetworkNamespace) throws {
    self.namespace = try namespace.duplicate()
  }

  /// Whether any table came, went or changed since the last call, the first of which says no; counters alone do not
  /// count.
  mutating func haveChanged() throws -> Bool {
    let now = try read()
    defer { digests = now }
    return digests != nil && now != digests
  }

  private mutating func read() throws -> [String: Int] {
    var found: [String: Int] = [:]
    for (isIPv6, file) in [(false, "ip_tables_names"), (true, "ip6_tables_names")] {
      for table in try names(file) {
        found["\(isIPv6 ? "ip6" : "ip") \(table)"] = try digest(of: table, isIPv6: isIPv6)
      }
    }
    return found
  }

  private func names(_ file: String) throws -> [String] {
    // Not there without the module.
    try namespace.run { Sysctl.lines("/proc/thread-self/net/\(file)") }
  }

  private mutating func digest(of table: String, isIPv6: Bool) throws -> Int {
    let socket = try socket(isIPv6: isIPv6)
    for _ in 0..<8 {
      let length = buffer.withUnsafeMutableBytes {
        culvert_xtables_read(socket.value.raw, isIPv6, table, $0.baseAddress, $0.count)
      }
      if length > buffer.count {
        buffer = [UInt8](repeating: 0, count: length + length / 4)
      } else if length >= 0 {
        var hasher = Hasher()
        buffer.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[..<length])) }
        return hasher.finalize()
      } else if length != -Int(EAGAIN) {
        throw Failure(
          "read", "legacy table \(table)", errno: Errno(rawValue: Int32(-length)),
          advice: "Rules cannot be watched; see whether `iptables-legacy -t \(table) -S` works.")
      }
    }
    // It changes all the time: that is a change.
    return (digests?["\(isIPv6 ? "ip6" : "ip") \(table)"] ?? 0) &+ 1
  }

  private mutating func socket(isIPv6: Bool) throws -> Box<OwnedDescriptor> {
    if let socket = sockets[isIPv6] { return socket }
    let raw = try namespace.run {
      let raw = Glibc.socket(
        isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue),
        Int32(IPPROTO_RAW))
      guard raw >= 0 else { throw Failure("open", "a raw socket", errno: .last) }
      return raw
    }
    let socket = Box(OwnedDescriptor(adopting: raw))
    sockets[isIPv6] = socket
    return socket
  }
}
