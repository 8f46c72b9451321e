// SPDX-License-Identifier: Apache-2.0
import CLibXDP
import LinuxSystem
import SystemPackage

/// The programs of all processes. What is known of one is kept: its type never changes.
public struct ProgramSearch {
  private var known: [UInt32: Bool] = [:]

  public init() {}

  /// Ids of those that can be at a tc or tcx hook (BPF_PROG_TYPE_SCHED_CLS); nil where they may not be looked at. Some 0.3 µs
  /// for each program that was there before.
  public mutating func classifiers() -> Set<UInt32>? {
    var found: [UInt32: Bool] = [:]
    var (last, next) = (0 as UInt32, 0 as UInt32)
    while true {
      let status = bpf_prog_get_next_id(last, &next)
      if status == -Errno.noSuchFileOrDirectory.rawValue { break }
      guard status == 0 else { return nil }
      last = next
      if let isClassifier = known[next] {
        found[next] = isClassifier
        continue
      }
      let raw = bpf_prog_get_fd_by_id(next)
      // It went meanwhile.
      if raw == -Errno.noSuchFileOrDirectory.rawValue { continue }
      guard raw >= 0 else { return nil }
      let descriptor = OwnedDescriptor(adopting: raw)
      var info = bpf_prog_info()
      var size = UInt32(MemoryLayout<bpf_prog_info>.size)
      guard bpf_obj_get_info_by_fd(descriptor.raw, &info, &size) == 0 else { return nil }
      found[next] = info.type == BPF_PROG_TYPE_SCHED_CLS.rawValue
    }
    known = found
    return Set(found.filter(\.value).keys)
  }
}
