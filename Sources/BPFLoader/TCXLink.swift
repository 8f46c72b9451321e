// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

/// A program at a device's tcx ingress hook (Linux 6.6). Detaches when it goes, also with its process.
public struct TCXLink: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  /// - Parameter ifindex: in the calling thread's network namespace.
  public init(
    attaching program: borrowing BPFProgram, to ifindex: UInt32, interface: String
  ) throws(Failure) {
    let raw = culvert_tcx_link(program.descriptor.raw, Int32(ifindex))
    guard raw >= 0 else {
      throw Failure(
        "attach tc program \(program.name) (tcx) to", interface, errno: Errno(rawValue: -raw))
    }
    descriptor = OwnedDescriptor(adopting: raw)
  }

  /// Whether this kernel has tcx at all: an older one does not know the attach type.
  public static func isSupported() -> Bool {
    var count: UInt32 = 0
    // The loopback device is there in every namespace.
    return bpf_prog_query(1, bpf_attach_type(TCXQuery.Hook.ingress.rawValue), 0, nil, nil, &count) == 0
  }
}
