// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

/// A loaded program, held by a descriptor of its own.
public struct BPFProgram: ~Copyable, Sendable {
  public let name: String
  /// The kernel's id: what `bpftool prog` and IFLA_XDP_PROG_ID show.
  public let id: UInt32
  public let descriptor: OwnedDescriptor

  init(name: String, borrowing raw: Int32) throws(Failure) {
    guard raw >= 0 else {
      throw Failure("use BPF program", name, errno: Errno(rawValue: -raw), advice: "Load its object first.")
    }
    let copy = try duplicateDescriptor(raw)
    var info = bpf_prog_info()
    var size = UInt32(MemoryLayout<bpf_prog_info>.size)
    guard bpf_obj_get_info_by_fd(copy.raw, &info, &size) == 0 else {
      throw Failure("inspect BPF program", name, errno: .last)
    }
    self.name = name
    self.id = info.id
    self.descriptor = copy
  }

  /// What the program with this id calls itself, of any process; nil where it is gone or may not be looked at.
  public static func name(ofID id: UInt32) -> String? {
    let raw = bpf_prog_get_fd_by_id(id)
    guard raw >= 0 else { return nil }
    let descriptor = OwnedDescriptor(adopting: raw)
    var info = bpf_prog_info()
    var size = UInt32(MemoryLayout<bpf_prog_info>.size)
    guard bpf_obj_get_info_by_fd(descriptor.raw, &info, &size) == 0 else { return nil }
    return withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}

/// XDP's actions (enum xdp_action).
public enum XDPAction: UInt32, Sendable {
  case aborted = 0
  case drop, pass, transmit, redirect
}
