// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import SystemPackage

/// A network namespace held open by a descriptor (namespaces(7)). It lives at
/// least as long as this value; without a mount it goes with the last holder.
public struct NetworkNamespace: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor
  /// Device and inode of the nsfs file: the namespace's identity while it lives.
  public let identity: Identity

  public struct Identity: Hashable, Sendable, CustomStringConvertible {
    public var device: UInt64
    public var inode: UInt64
    public init(device: UInt64, inode: UInt64) {
      self.device = device
      self.inode = inode
    }
    public var description: String { "net:[\(inode)]" }
  }

  public init(adopting descriptor: consuming OwnedDescriptor) throws(Failure) {
    var status = stat()
    guard fstat(descriptor.raw, &status) == 0 else {
      throw Failure("identify", "a network namespace", errno: .last)
    }
    self.identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    self.descriptor = descriptor
  }

  /// Opens NS as the commands take it: a path, a PID, or a name under /run/netns.
  /// `nil` is the caller's own.
  public static func open(_ reference: String?) throws(Failure) -> NetworkNamespace {
    guard let reference else { return try current() }
    let path = path(of: reference)
    let raw = culvert_open(path, O_RDONLY, 0)
    guard raw >= 0 else {
      throw Failure(
        "open network namespace", path, errno: .last,
        advice: "Give a name that `ip netns list` shows, a path, or a process id.")
    }
    return try NetworkNamespace(adopting: OwnedDescriptor(adopting: raw))
  }

  /// One spelling of what `open` takes: a name under /run/netns is that name.
  public static func plainName(of reference: String) -> String {
    for folder in ["/run/netns/", "/var/run/netns/"] where reference.hasPrefix(folder) {
      let name = String(reference.dropFirst(folder.count))
      if !name.isEmpty, !name.contains("/"), Int32(name) == nil { return name }
    }
    return reference
  }

  private static func path(of reference: String) -> String {
    if reference.contains("/") { return reference }
    return Int32(reference) != nil ? "/proc/\(reference)/ns/net" : "/run/netns/\(reference)"
  }

  /// Which namespace NS is now, without opening it; nil where it is gone or may not be seen.
  public static func identity(of reference: String) -> Identity? { identity(at: path(of: reference)) }

  /// The same of a path.
  public static func identity(at path: String) -> Identity? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  /// The calling thread's namespace.
  public static func current() throws(Failure) -> NetworkNamespace {
    try NetworkNamespace(adopting: OwnedDescriptor.open("/proc/thread-self/ns/net"))
  }

  /// A new, empty namespace without a name; it goes when the last descriptor or
  /// process that holds it does, however that ends.
  public static func makeAnonymous() throws -> NetworkNamespace {
    let raw = try DedicatedThread.run { () throws -> Int32 in
      guard culvert_unshare_net() == 0 else {
        throw Failure("create", "a network namespace", errno: .last, advice: "Run as root.")
      }
      return try OwnedDescriptor.open("/proc/thread-self/ns/net").release()
    }
    return try NetworkNamespace(adopting: OwnedDescriptor(adopting: raw))
  }

  /// Moves the calling thread into this namespace, for good.
  public func enter() throws(Failure) {
    guard culvert_setns(descriptor.raw) == 0 else {
      throw Failure("enter", "\(identity)", errno: .last, advice: "Run as root.")
    }
  }

  /// Runs `body` inside the namespace on a thread of its own and waits for it.
  public borrowing func run<T>(_ body: () throws -> T) throws -> T {
    let raw = descriptor.raw
    let name = "\(identity)"
    return try DedicatedThread.run {
      guard culvert_setns(raw) == 0 else {
        throw Failure("enter", name, errno: .last, advice: "Run as root.")
      }
      return try body()
    }
  }

  public func duplicate() throws(Failure) -> NetworkNamespace {
    try NetworkNamespace(adopting: descriptor.duplicate())
  }
}
