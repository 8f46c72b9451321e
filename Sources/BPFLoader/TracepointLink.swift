// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

/// A program of type `tp_btf` on the tracepoint that it was compiled for; detaches when it goes.
public struct TracepointLink: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  public init(attaching program: borrowing BPFProgram) throws(Failure) {
    let raw = bpf_raw_tracepoint_open(nil, program.descriptor.raw)
    guard raw >= 0 else {
      throw Failure("attach to its tracepoint", program.name, errno: Errno(rawValue: -raw))
    }
    self.descriptor = OwnedDescriptor(adopting: raw)
  }
}
