// SPDX-License-Identifier: Apache-2.0
import Glibc
import SystemPackage

/// Memory from mmap(2), unmapped when its owner goes.
public struct Mapping: ~Copyable, @unchecked Sendable {
  public let address: UnsafeMutableRawPointer
  public let byteCount: Int

  /// Zeroed memory of this process, present from the start, so that no page fault comes later.
  public init(anonymous byteCount: Int) throws(Failure) {
    try self.init(byteCount, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)
  }

  /// What a descriptor offers at `offset`, shared with the kernel.
  public init(of descriptor: Int32, offset: Int64, byteCount: Int) throws(Failure) {
    try self.init(byteCount, MAP_SHARED | MAP_POPULATE, descriptor, offset)
  }

  private init(_ byteCount: Int, _ flags: Int32, _ descriptor: Int32, _ offset: Int64) throws(Failure) {
    guard let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, descriptor, Int(offset)),
      address != MAP_FAILED
    else { throw Failure("map", "\(byteCount) bytes", errno: .last) }
    self.address = address
    self.byteCount = byteCount
  }

  deinit { munmap(address, byteCount) }
}
