// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// A filter at a device's tc hook (tc(8)), as RTM_GETTFILTER lists it.
public struct TrafficFilter: Hashable, Sendable {
  public var link: Int32
  /// "bpf", "flower" …
  public var kind: String
  public var isIngress: Bool
  /// tcm_handle, and the priority of tcm_info.
  public var handle: UInt32
  public var priority: UInt32
}

extension RouteConnection {
  /// Every filter behind an ingress or clsact queueing discipline of this namespace.
  public func trafficFilters() throws(Failure) -> [TrafficFilter] {
    var filters: Set<TrafficFilter> = []
    for (link, kind) in try ingressDisciplines() {
      filters.formUnion(try self.filters(of: link, parent: 0xffff_fff2, isIngress: true))
      if kind == "clsact" {
        filters.formUnion(try self.filters(of: link, parent: 0xffff_fff3, isIngress: false))
      }
    }
    return Array(filters)
  }

  /// "ingress" or "clsact" of the devices of this namespace that have one.
  public func ingressDisciplines() throws(Failure) -> [Int32: String] {
    var hooks: [Int32: String] = [:]
    var request = try Request(RTM_GETQDISC)
    request.append(header: tcmsg())
    try socket.dump(request, "list", "queueing disciplines", reset: { hooks = [:] }) {
      message throws(Failure) in
      guard message.type == RTM_NEWQDISC else { return }
      let header: tcmsg = try message.payload.read(at: 0)
      try message.payload.attributes(after: MemoryLayout<tcmsg>.size).forEach { attribute throws(Failure) in
        guard attribute.type == TCA_KIND, ["ingress", "clsact"].contains(attribute.string) else { return }
        hooks[header.tcm_ifindex] = attribute.string
      }
    }
    return hooks
  }

  private func filters(of link: Int32, parent: UInt32, isIngress: Bool) throws(Failure) -> Set<TrafficFilter>
  {
    var found: Set<TrafficFilter> = []
    var request = try Request(RTM_GETTFILTER)
    var header = tcmsg()
    header.tcm_ifindex = link
    header.tcm_parent = parent
    request.append(header: header)
    try socket.dump(request, "list", "tc filters", reset: { found = [] }) { message throws(Failure) in
      guard message.type == RTM_NEWTFILTER else { return }
      let header: tcmsg = try message.payload.read(at: 0)
      try message.payload.attributes(after: MemoryLayout<tcmsg>.size).forEach { attribute throws(Failure) in
        // One with handle 0 announces the priority's chain; its filters follow.
        guard attribute.type == TCA_KIND, header.tcm_handle != 0 else { return }
        found.insert(
          TrafficFilter(
            link: link, kind: attribute.string, isIngress: isIngress, handle: header.tcm_handle,
            priority: header.tcm_info >> 16))
      }
    }
    return found
  }
}

private let RTM_NEWQDISC = 36
private let RTM_GETQDISC = 38
private let RTM_NEWTFILTER = 44
private let RTM_GETTFILTER = 46
private let TCA_KIND = 1
