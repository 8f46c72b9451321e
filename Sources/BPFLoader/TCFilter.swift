// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import Glibc
import LinuxSystem
import SystemPackage

/// A filter of tc's cls_bpf at a device's ingress (tc-bpf(8)), for kernels without tcx. It outlives its
/// process: its maker writes down where it is, and whoever comes next removes it. Runs in the device's
/// namespace.
public enum TCFilter {
  /// The filters' own, so that nobody else's is removed.
  public static let priority: UInt32 = 0xc0f1
  /// Of filters that are alone on their device; several at once have one each.
  public static let handle: UInt32 = 0xc1

  /// Adds the filter, and clsact where it is missing.
  public static func add(
    _ program: borrowing BPFProgram, handle: UInt32 = handle, to ifindex: Int32, interface: String
  ) throws(Failure) {
    let status = culvert_filter_add(program.descriptor.raw, ifindex, handle, priority)
    guard status == 0 else {
      throw Failure(
        "attach tc program \(program.name) (clsact) to", interface, errno: Errno(rawValue: -status),
        advice: "The kernel needs CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS.")
    }
  }

  /// A filter or device that is gone already is no error.
  public static func remove(
    handle: UInt32 = handle, from ifindex: Int32, withClsact: Bool
  ) throws(Failure) {
    let status = culvert_filter_remove(ifindex, handle, priority, withClsact)
    let isGone = [ENOENT, ENODEV, EINVAL].contains(-status)
    guard status == 0 || isGone else {
      throw Failure("remove", "the tc filter of interface \(ifindex)", errno: Errno(rawValue: -status))
    }
  }
}
