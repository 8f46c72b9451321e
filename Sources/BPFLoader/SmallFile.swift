// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import SystemPackage

/// A file of /proc, up to 4 KiB of it.
func readSmallFile(_ path: String) throws(Failure) -> String {
  let file = try OwnedDescriptor.open(path)
  return try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { place throws(Failure) in
    let count = read(file.raw, place.baseAddress!, place.count)
    guard count >= 0 else { throw Failure("read", path, errno: .last) }
    return String(decoding: place[..<count], as: UTF8.self)
  }
}
