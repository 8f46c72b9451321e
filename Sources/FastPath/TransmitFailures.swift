// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink

/// Frames that were redirected and that no device sent. A veth counts what its ring does not take itself; for
/// other drivers, and where a veth's other end is down, only XDP's tracepoints tell (bpf/drops.bpf.c), which needs the
/// kernel's BTF and costs a little per bulk.
final class TransmitFailures {
  private let object: BPFObject
  private var links: [Box<TracepointLink>]
  private let map: BPFMap<culvert_device_key, culvert_xmit_drops>
  private var veths: [UInt32: Veth] = [:]
  /// Of each slot: the device's, then its place as the sender knows it.
  private var keys: [UInt32: [culvert_device_key]] = [:]
  /// As last counted, by slot.
  private var last: [UInt32: Count] = [:]
  private let sender: UInt32?
  private let followsVeths: Bool

  private struct Veth {
    let ethtool: Box<Ethtool>
    let name: String
    var atStart: UInt64

    /// Frames for the other end that its ring did not take.
    func errors() throws -> UInt64 {
      try ethtool.value.statistics(of: name)
        .filter { $0.key.hasSuffix("_xdp_xmit_errors") }.reduce(0) { $0 + $1.value }
    }
  }

  struct Count {
    var notSent: UInt64
    var notRedirected: UInt64
  }

  /// - Parameters:
  ///   - sender: the namespace out of which this process itself redirects, by slot.
  ///   - followsVeths: a veth's transmissions, too: expensive where packets come one by one (udp-rr 4 % slower).
  init(capacity: UInt32, sender: NetworkNamespace.Identity? = nil, followsVeths: Bool) throws {
    self.followsVeths = followsVeths
    self.sender = sender.map { UInt32(truncatingIfNeeded: $0.inode) }
    let embedded = culvert_bpf_drops()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.resize("xmit_drops", to: capacity * (sender == nil ? 1 : 2))
    try object.load()
    map = try object.map("xmit_drops")
    links = [Box(try TracepointLink(attaching: object.program("culvert_redirect")))]
    self.object = object
  }

  /// Runs in the device's namespace.
  func follow(_ link: Link, slot: UInt32) throws {
    let inode = try NetworkNamespace.current().identity.inode
    let key = culvert_device_key(ifindex: UInt32(link.index), netns: UInt32(truncatingIfNeeded: inode))
    let places = sender.map { [culvert_device_key(ifindex: CULVERT_EGRESS | slot, netns: $0)] } ?? []
    keys[slot] = [key] + places
    for key in keys[slot]! { try map.updatePerCPU(key, culvert_xmit_drops()) }
    if link.kind == "veth" {
      var veth = Veth(ethtool: Box(try Ethtool()), name: link.name, atStart: 0)
      veth.atStart = try veth.errors()
      veths[slot] = veth
    }
    if (link.kind != "veth" || followsVeths) && links.count == 1 {
      links.append(Box(try TracepointLink(attaching: object.program("culvert_xmit"))))
    }
  }

  func forget(slot: UInt32) {
    last[slot] = nil
    veths[slot] = nil
    for key in keys.removeValue(forKey: slot) ?? [] { _ = try? map.delete(key) }
  }

  /// Since the device is followed; nil where it is not.
  func count(slot: UInt32) throws -> Count? {
    guard let keys = keys[slot] else { return nil }
    var count = Count(notSent: 0, notRedirected: 0)
    for (place, key) in keys.enumerated() {
      for cpu in try map.perCPU(key) ?? [] {
        // A veth tells the rest itself, below.
        count.notSent += place > 0 || veths[slot] == nil ? cpu.not_sent : cpu.not_taken
        count.notRedirected += cpu.not_redirected
      }
    }
    if let veth = veths[slot] {
      // A device that has just vanished cannot be asked; its counters may also begin anew.
      guard let errors = try? veth.errors() else { return last[slot] }
      count.notSent += errors >= veth.atStart ? errors - veth.atStart : errors
    }
    last[slot] = count
    return count
  }
}
