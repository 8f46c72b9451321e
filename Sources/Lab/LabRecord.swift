// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// What a named lab has made or is about to make, written before it is made:
/// a folder /run/culvert/labs/NAME with
///   spec        what it is to be
///   node-NAME   one namespace: its token and its identity
///   complete    once it stands
struct LabRecord {
  static let root = "/run/culvert/labs"
  /// What was made of /run/netns itself.
  private static let made = "\(root)/.run-netns"

  let name: String
  private var folder: String { "\(Self.root)/\(name)" }

  init(_ name: String) throws(Failure) {
    let isPlain =
      !name.isEmpty && name.count <= 40 && name.first != "-"
      && name.utf8.allSatisfy {
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
          || $0 == UInt8(ascii: "-")
      }
    guard isPlain else {
      throw Failure("name a lab", name, advice: "Use a-z, 0-9 and -, at most 40.", status: .usage)
    }
    self.name = name
  }

  struct Node {
    var name: NamespaceName
    var identity: NetworkNamespace.Identity
  }

  // MARK: Read

  var exists: Bool { access(folder, F_OK) == 0 }
  var isComplete: Bool { access("\(folder)/complete", F_OK) == 0 }

  func spec() -> LabSpec? { (try? FileText.read("\(folder)/spec")).flatMap(LabSpec.init(text:)) }

  func node(_ node: String) throws(Failure) -> Node? {
    let path = "\(folder)/node-\(node)"
    guard access(path, F_OK) == 0 else { return nil }
    let words = try FileText.read(path).split(separator: " ")
    guard words.count == 3, let device = UInt64(words[1]), let inode = UInt64(words[2]) else {
      throw Failure("read", path, advice: "It is not a lab's record; look at it, then remove \(folder).")
    }
    return Node(
      name: NamespaceName(name: "\(name)-\(node)", token: String(words[0])),
      identity: NetworkNamespace.Identity(device: device, inode: inode))
  }

  /// Names of the nodes that have been begun.
  var nodes: [String] {
    Folder.names(folder).filter { $0.hasPrefix("node-") && !$0.hasSuffix(".new") }.map {
      String($0.dropFirst(5))
    }
  }

  /// Throws where they may not be seen.
  static func check() throws(Failure) { try Folder.check(root) }

  static var names: [String] { Folder.names(root).filter { !$0.hasPrefix(".") } }

  // MARK: Write

  func begin(_ spec: LabSpec) throws(Failure) {
    try Folder.make(folder)
    try FileText.replace("\(folder)/spec", with: spec.text)
  }

  func begin(_ node: String, _ record: Node) throws(Failure) {
    try FileText.replace(
      "\(folder)/node-\(node)",
      with: "\(record.name.token) \(record.identity.device) \(record.identity.inode)")
  }

  func complete() throws(Failure) { try FileText.replace("\(folder)/complete", with: "") }

  func reopen() { unlink("\(folder)/complete") }

  func forget(_ node: String) { unlink("\(folder)/node-\(node)") }

  /// Takes the record away, once all it recorded is gone.
  func end() throws(Failure) {
    for name in Folder.names(folder) where !name.hasPrefix("node-") || name.hasSuffix(".new") {
      unlink("\(folder)/\(name)")
    }
    guard rmdir(folder) == 0 || Errno.last == .noSuchFileOrDirectory else {
      throw Failure("remove", folder, errno: .last)
    }
  }

  // MARK: /run/netns

  static func prepareNamespaceDirectory() throws(Failure) {
    try NamespaceDirectory.prepare { what throws(Failure) in
      let before = (try? FileText.read(made)) ?? ""
      try FileText.replace(made, with: "\(before)\(what)\n")
    }
  }

  /// After the last lab.
  private static func releaseNamespaceDirectory() {
    guard names.isEmpty else { return }
    NamespaceDirectory.release(made: Set(((try? FileText.read(made)) ?? "").split(separator: "\n")))
    unlink(made)
    unlink("\(made).new")
    rmdir(root)
  }
}

extension LabRecord {
  /// Runs `body` while no other process changes labs; with the last lab goes the rest.
  static func locked<T>(_ body: () throws -> T) throws -> T {
    for folder in ["/run/culvert", root] { try Folder.make(folder) }
    while true {
      let folder = try OwnedDescriptor.open(root)
      guard flock(folder.raw, LOCK_EX) == 0 else { throw Failure("lock", root, errno: .last) }
      var (held, now) = (stat(), stat())
      // The last lab's `down` may have removed the folder while this one waited for it.
      if fstat(folder.raw, &held) == 0, stat(root, &now) == 0, held.st_ino == now.st_ino {
        defer { releaseNamespaceDirectory() }
        return try body()
      }
      try Folder.make(root)
    }
  }
}
