// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import SystemPackage

/// Wakes a thread that waits in poll(2), from any other thread, as long as it lives.
public struct Bell: ~Copyable, Sendable {
  private let reading: OwnedDescriptor
  private let writing: OwnedDescriptor

  public init() throws(Failure) {
    var ends: [Int32] = [0, 0]
    guard culvert_pipe(&ends, true) == 0 else { throw Failure("create", "a pipe", errno: .last) }
    reading = OwnedDescriptor(adopting: ends[0])
    writing = OwnedDescriptor(adopting: ends[1])
  }

  /// Readable once it has been rung.
  public var descriptor: Int32 { reading.raw }

  public borrowing func ring() {
    var one: UInt8 = 1
    // A full pipe has been rung often enough.
    _ = write(writing.raw, &one, 1)
  }

  public borrowing func silence() {
    var bytes = [UInt8](repeating: 0, count: 64)
    while read(reading.raw, &bytes, bytes.count) == bytes.count {}
  }
}
