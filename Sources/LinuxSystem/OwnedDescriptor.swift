// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import SystemPackage

@inline(__always)
func lastErrno() -> Int32 { Glibc.errno }

/// A file descriptor closed when its owner goes.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The number, valid while this value lives.
  public let raw: Int32

  /// Takes ownership of an open descriptor.
  public init(adopting raw: Int32) { self.raw = raw }

  deinit { close(raw) }

  /// open(2), with O_CLOEXEC.
  public static func open(
    _ path: String, flags: Int32 = O_RDONLY, mode: UInt32 = 0o600
  ) throws(Failure) -> OwnedDescriptor {
    let raw = culvert_open(path, flags, mode)
    guard raw >= 0 else { throw Failure("open", path, errno: .last) }
    return OwnedDescriptor(adopting: raw)
  }

  /// Gives the descriptor away; the caller closes it.
  public consuming func release() -> Int32 {
    let raw = self.raw
    discard self
    return raw
  }

  public func duplicate() throws(Failure) -> OwnedDescriptor {
    let copy = fcntl(raw, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw Failure("duplicate", "descriptor \(raw)", errno: .last) }
    return OwnedDescriptor(adopting: copy)
  }
}
