// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// A name under /run/netns for a namespace, as `ip netns` makes them: a file with the
/// namespace mounted over it. Unlike `ip`'s the file holds a token, by which a lab
/// knows its own also after it was killed half way.
struct NamespaceName {
  static let directory = "/run/netns"

  let name: String
  /// Random, never used again.
  let token: String

  var path: String { "\(Self.directory)/\(name)" }
  private var draft: String { "\(Self.directory)/.culvert-\(token)" }

  /// Gives the namespace this name; fails with EEXIST where the name is taken.
  func mount(_ namespace: borrowing NetworkNamespace) throws(Failure) {
    // Linked and not created, so that the file is never there without its token.
    try FileText.replace(draft, with: token)
    let status = link(draft, path)
    let errno = Errno.last
    unlink(draft)
    guard status == 0 else {
      throw Failure(
        "name namespace", path, errno: errno,
        advice: errno == .fileExists ? "It is another's: choose a different lab name with --name." : nil)
    }
    let source = "/proc/self/fd/\(namespace.descriptor.raw)"
    guard Glibc.mount(source, path, "none", UInt(MS_BIND), nil) == 0 else {
      throw Failure("mount namespace on", path, errno: .last)
    }
  }

  /// Takes the name away if it is this one; what bears another's token stays untouched.
  func remove() throws(Failure) {
    // Killed while it was being named: the token may be in a draft, or in the draft of that.
    for name in [draft, "\(draft).new"] { unlink(name) }
    guard try holdsToken() else { return }
    while umount2(path, Int32(MNT_DETACH | UMOUNT_NOFOLLOW)) == 0 {}
    // EINVAL: nothing is mounted there any more.
    guard Errno.last == .invalidArgument else { throw Failure("unmount", path, errno: .last) }
    guard unlink(path) == 0 else { throw Failure("remove", path, errno: .last) }
  }

  /// Whether the file below the mount is the one that this lab made.
  private func holdsToken() throws(Failure) -> Bool {
    let tree = culvert_clone_mount(Self.directory)
    guard tree >= 0 else {
      if tree == -ENOENT { return false }
      throw Failure("look below the mounts of", Self.directory, errno: Errno(rawValue: -tree))
    }
    let directory = OwnedDescriptor(adopting: tree)
    let file = culvert_open_at(directory.raw, name)
    // ENOENT: it never came to be. ELOOP: a symbolic link is none of ours.
    guard file >= 0 else {
      if file == -ENOENT || file == -ELOOP { return false }
      throw Failure("open", path, errno: Errno(rawValue: -file))
    }
    return try FileText.read(OwnedDescriptor(adopting: file), path) == token
  }

  static func makeToken() -> String {
    var random = SystemRandomNumberGenerator()
    return String(random.next(), radix: 16) + String(random.next(), radix: 16)
  }
}

/// /run/netns itself: a mount that is shared, so that names appear and go in other mount
/// namespaces too. Made as `ip netns add` does where nobody has yet.
enum NamespaceDirectory {
  /// `record` is called with what is going to be made, before it is.
  static func prepare(record: (String) throws(Failure) -> Void) throws(Failure) {
    let path = NamespaceName.directory
    if access(path, F_OK) != 0 {
      try record("folder")
      try Folder.make(path)
    }
    if mount("", path, "none", UInt(MS_SHARED | MS_REC), nil) == 0 { return }
    guard Errno.last == .invalidArgument else { throw Failure("share", path, errno: .last) }
    try record("mount")
    guard mount(path, path, "none", UInt(MS_BIND | MS_REC), nil) == 0,
      mount("", path, "none", UInt(MS_SHARED | MS_REC), nil) == 0
    else { throw Failure("mount", path, errno: .last) }
  }

  /// Undoes what `prepare` made, unless somebody uses it by now.
  static func release(made: Set<Substring>) {
    guard !made.isEmpty, Folder.names(NamespaceName.directory).isEmpty else { return }
    // Not lazily: EBUSY says that it is in use. EINVAL: it was noted and never made, or is gone already.
    if made.contains("mount"), umount2(NamespaceName.directory, Int32(UMOUNT_NOFOLLOW)) != 0,
      Errno.last != .invalidArgument
    {
      return
    }
    if made.contains("folder") { rmdir(NamespaceName.directory) }
  }
}
