// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem

/// Frames that were redirected and that no device sent: XDP tells only its
/// tracepoints (bpf/drops.bpf.c). Needs the kernel's BTF; without it they are not
/// counted, and that is said.
final class TransmitFailures {
  private let object: BPFObject
  private let links: [Box<TracepointLink>]
  private let map: BPFMap<culvert_device_key, culvert_xmit_drops>

  init(capacity: UInt32) throws {
    let embedded = culvert_bpf_drops()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.resize("xmit_drops", to: capacity)
    try object.load()
    map = try object.map("xmit_drops")
    links = [
      Box(try TracepointLink(attaching: object.program("culvert_xmit"))),
      Box(try TracepointLink(attaching: object.program("culvert_redirect"))),
    ]
    self.object = object
  }

  func follow(_ device: culvert_device_key) throws { try map.updatePerCPU(device, culvert_xmit_drops()) }

  func forget(_ device: culvert_device_key) { _ = try? map.delete(device) }

  /// Summed over CPUs.
  func count(_ device: culvert_device_key) throws -> culvert_xmit_drops {
    var sum = culvert_xmit_drops()
    for cpu in try map.perCPU(device) ?? [] {
      sum.not_sent += cpu.not_sent
      sum.not_redirected += cpu.not_redirected
    }
    return sum
  }
}
