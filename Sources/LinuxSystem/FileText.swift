// SPDX-License-Identifier: Apache-2.0
import Glibc
import SystemPackage

/// Small files as text: those of /proc, /sys and /run.
public enum FileText {
  public static func read(_ path: String) throws(Failure) -> String {
    let file = try OwnedDescriptor.open(path)
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(file.raw, &chunk, chunk.count)
      guard count >= 0 else { throw Failure("read", path, errno: .last) }
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      text += chunk[..<count]
    }
  }

  /// Writes to an existing file in one write(2), as /proc/sys wants it.
  public static func write(_ text: String, to path: String) throws(Failure) {
    let file = try OwnedDescriptor.open(path, flags: O_WRONLY)
    let bytes = Array(text.utf8)
    guard Glibc.write(file.raw, bytes, bytes.count) == bytes.count else {
      throw Failure("write", path, errno: .last)
    }
  }
}
