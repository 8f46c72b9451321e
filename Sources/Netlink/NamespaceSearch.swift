// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// Finds the namespace behind the number that a link names its peer's by
/// (IFLA_LINK_NETNSID): among processes' namespaces, mounted ones, and those that
/// this process holds open.
public enum NamespaceSearch {
  /// `id` is relative to the namespace of `route`. Nil where none of the candidates
  /// is it, such as that of a process which this one may not look into. Costs one
  /// stat per process and one question per distinct namespace.
  public static func find(
    _ id: Int32, for route: borrowing RouteConnection
  ) throws(Failure) -> NetworkNamespace? {
    guard let found = try search(id, for: route) else { return nil }
    return found.take()
  }

  /// The same, not held.
  public static func reference(
    _ id: Int32, for route: borrowing RouteConnection
  ) throws -> NamespaceReference? {
    guard let found = try search(id, for: route) else { return nil }
    return try NamespaceReference(found.namespace, path: found.path)
  }

  private struct Found: ~Copyable {
    let namespace: NetworkNamespace
    let path: String
    consuming func take() -> NetworkNamespace { namespace }
  }

  private static func search(_ id: Int32, for route: borrowing RouteConnection) throws(Failure) -> Found? {
    var seen: Set<NetworkNamespace.Identity> = []
    for path in descriptors() + mounts() + processes() {
      guard let candidate = open(path, unless: &seen) else { continue }
      if try route.namespaceID(of: candidate.descriptor.raw) == id {
        return Found(namespace: candidate, path: path)
      }
    }
    return nil
  }

  /// The namespace whose nsfs inode is `inode`, or nil where none of the candidates is it.
  public static func find(inode: UInt64) -> NetworkNamespace? {
    var seen: Set<NetworkNamespace.Identity> = []
    for path in descriptors() + mounts() + processes() {
      guard let candidate = open(path, unless: &seen) else { continue }
      if candidate.identity.inode == inode { return candidate }
    }
    return nil
  }

  /// Paths of the namespaces that mounts and processes hold, several of one namespace among them.
  public static func candidates() -> [String] { mounts() + processes() }

  /// Whether every process of the machine can be seen, so that a namespace that is not found is gone: in the first
  /// PID namespace, whose inode is fixed (PROC_PID_INIT_INO).
  public static var seesEveryProcess: Bool {
    var status = stat()
    return stat("/proc/self/ns/pid", &status) == 0 && status.st_ino == 0xEFFF_FFFC
  }

  /// As people call it: the last part of the path it is mounted at, or a process in it.
  public static func name(inode: UInt64) -> String? {
    func isIt(_ path: String) -> Bool { NetworkNamespace.identity(at: path)?.inode == inode }
    if let mount = mounts().first(where: isIt) { return mount.split(separator: "/").last.map(String.init) }
    return processes().first(where: isIt).map { "process \($0.split(separator: "/")[1])" }
  }

  /// Whether a mount or a process that can be seen holds the namespace. Descriptors are not looked at, nor threads
  /// that have moved into it.
  public static func isHeld(_ identity: NetworkNamespace.Identity) -> Bool {
    (mounts() + processes()).contains { NetworkNamespace.identity(at: $0) == identity }
  }

  /// Processes end and refuse (EACCES) at any time: what cannot be opened is no candidate.
  private static func open(
    _ path: String, unless seen: inout Set<NetworkNamespace.Identity>
  ) -> NetworkNamespace? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    let identity = NetworkNamespace.Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    guard !seen.contains(identity), let namespace = try? NetworkNamespace.open(path) else { return nil }
    seen.insert(namespace.identity)
    return namespace
  }

  private static func processes() -> [String] {
    Folder.names("/proc").filter { Int32($0) != nil }.map { "/proc/\($0)/ns/net" }
  }

  /// Descriptors of this process that refer to network namespaces.
  private static func descriptors() -> [String] {
    Folder.names("/proc/self/fd").map { "/proc/self/fd/\($0)" }.filter { link(at: $0).hasPrefix("net:[") }
  }

  private static func mounts() -> [String] {
    guard let text = try? FileText.read("/proc/self/mountinfo") else { return [] }
    return mountPoints(in: text)
  }

  /// Mount points of network namespaces in mountinfo (proc(5)): field 4 is the root
  /// within the file system, field 5 the mount point with octal escapes.
  static func mountPoints(in mountinfo: String) -> [String] {
    mountinfo.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 4, fields[3].hasPrefix("net:[") else { return nil }
      return unescape(fields[4])
    }
  }

  private static func unescape(_ field: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(field.utf8)[...]
    while let byte = rest.popFirst() {
      let octal = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), octal.count == 3,
        let value = UInt8(String(decoding: octal, as: UTF8.self), radix: 8)
      {
        bytes.append(value)
        rest.removeFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func link(at path: String) -> String {
    var buffer = [UInt8](repeating: 0, count: 64)
    let count = buffer.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
    return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : ""
  }
}
