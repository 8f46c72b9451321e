// SPDX-License-Identifier: Apache-2.0
import CLibNL
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// A network namespace that is not held: whoever it belongs to may let it go at any time, and with it what is in it.
/// It is entered for as long as a question takes.
public struct NamespaceReference: Sendable, Hashable {
  public let identity: NetworkNamespace.Identity
  /// SO_NETNS_COOKIE: never given twice while the system runs, as an inode is. nil before Linux 5.14.
  public let cookie: UInt64?
  /// Where it was found; another namespace may be there by now.
  private let path: String

  /// - Parameter path: by which `namespace` was opened.
  public init(_ namespace: borrowing NetworkNamespace, path: String) throws {
    identity = namespace.identity
    self.path = path
    cookie = try namespace.run { Self.currentCookie() }
  }

  /// Opens it; nil where it is gone, or nothing that this process may see holds it.
  public func open() -> NetworkNamespace? {
    if let namespace = try? NetworkNamespace.open(path), namespace.identity == identity { return namespace }
    return NamespaceSearch.find(inode: identity.inode)
  }

  /// Runs `body` inside; nil where the namespace is gone.
  public func run<T>(_ body: () throws -> T) throws -> T? {
    guard let namespace = open() else { return nil }
    return try namespace.run { () throws -> T? in
      // The inode may have been given to another namespace since.
      guard cookie == nil || Self.currentCookie() == cookie else { return nil }
      return try body()
    }
  }

  /// Of the calling thread's namespace.
  public static func currentCookie() -> UInt64? {
    let raw = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { return nil }
    defer { close(raw) }
    var cookie: UInt64 = 0
    var size = socklen_t(MemoryLayout<UInt64>.size)
    let option: Int32 = 71  // SO_NETNS_COOKIE of asm-generic/socket.h
    return getsockopt(raw, SOL_SOCKET, option, &cookie, &size) == 0 ? cookie : nil
  }
}
