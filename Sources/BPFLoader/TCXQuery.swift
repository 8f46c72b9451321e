// SPDX-License-Identifier: Apache-2.0
import CLibXDP

/// Programs at a device's tcx hooks (Linux 6.6 and newer), which tc's own lists leave out.
public enum TCXQuery {
  public enum Hook: UInt32, CaseIterable, Sendable {
    // BPF_TCX_INGRESS, BPF_TCX_EGRESS: newer than Debian 12's headers.
    case ingress = 46
    case egress = 47
  }

  /// Ids of the attached programs (64 at most, as the kernel has it); none also where the kernel has no
  /// tcx. Runs in the device's namespace.
  public static func programs(at hook: Hook, of ifindex: Int32) -> [UInt32] {
    var count: UInt32 = 64
    var ids = [UInt32](repeating: 0, count: 64)
    let status = bpf_prog_query(ifindex, bpf_attach_type(hook.rawValue), 0, nil, &ids, &count)
    return status == 0 ? Array(ids.prefix(Int(count))) : []
  }
}
