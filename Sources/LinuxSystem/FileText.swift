// SPDX-License-Identifier: Apache-2.0
import Glibc
import SystemPackage

/// Small files as text: those of /proc, /sys and /run.
public enum FileText {
  public static func read(_ path: String) throws(Failure) -> String {
    try read(try OwnedDescriptor.open(path), path)
  }

  /// What is left to read of an open file; `name` is for the failure.
  public static func read(_ file: borrowing OwnedDescriptor, _ name: String) throws(Failure) -> String {
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(file.raw, &chunk, chunk.count)
      guard count >= 0 else { throw Failure("read", name, errno: .last) }
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      text += chunk[..<count]
    }
  }

  /// Writes to an existing file in one write(2), as /proc/sys wants it.
  public static func write(_ text: String, to path: String) throws(Failure) {
    try put(text, path, flags: O_WRONLY)
  }

  /// Writes a new file in place of any old one, whole or not at all.
  public static func replace(_ path: String, with text: String) throws(Failure) {
    let temporary = "\(path).new"
    do throws(Failure) {
      try put(text, temporary, flags: O_WRONLY | O_CREAT | O_TRUNC)
      guard rename(temporary, path) == 0 else { throw Failure("replace", path, errno: .last) }
    } catch {
      unlink(temporary)
      throw error
    }
  }

  private static func put(_ text: String, _ path: String, flags: Int32) throws(Failure) {
    let file = try OwnedDescriptor.open(path, flags: flags, mode: 0o644)
    let bytes = Array(text.utf8)
    guard Glibc.write(file.raw, bytes, bytes.count) == bytes.count else {
      throw Failure("write", path, errno: .last)
    }
  }
}

/// Folders, as far as records in /run need them.
public enum Folder {
  /// Names in it, sorted, without "." and ".."; empty where there is no such folder.
  public static func names(_ path: String) -> [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Throws where it is there and may not be read: nothing in it would look like nothing there.
  public static func check(_ path: String) throws(Failure) {
    guard access(path, R_OK | X_OK) != 0, Errno.last != .noSuchFileOrDirectory else { return }
    throw Failure("read", path, errno: .last, advice: "Run as root.")
  }

  /// Makes it; true where it was not there yet. The folder above must be.
  @discardableResult
  public static func make(_ path: String) throws(Failure) -> Bool {
    if mkdir(path, 0o755) == 0 { return true }
    let errno = Errno.last
    guard errno == .fileExists else {
      throw Failure(
        "make folder", path, errno: errno, advice: errno == .permissionDenied ? "Run as root." : nil)
    }
    return false
  }
}
