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

/// A queueing discipline as RTM_GETQDISC lists it.
public struct QueueingDiscipline: Hashable, Sendable {
  public var link: Int32
  /// "fq_codel", "tbf" …
  public var kind: String
  /// TC_H_ROOT, or the class of another that it is in.
  public var parent: UInt32
  /// "fq" can be told to pace each flow.
  public var pacesFlows = false

  public var isRoot: Bool { parent == .max }

  init(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    let header: tcmsg = try payload.read(at: 0)
    var kind = ""
    var rate = UInt32.max
    try payload.attributes(after: MemoryLayout<tcmsg>.size).forEach { attribute throws(Failure) in
      switch attribute.type {
      case TCA_KIND: kind = attribute.string
      case TCA_OPTIONS where kind == "fq":
        try attribute.nested.forEach { option throws(Failure) in
          if option.type == TCA_FQ_FLOW_MAX_RATE { rate = try option.integer() }
        }
      default: break
      }
    }
    (link, self.kind, parent) = (header.tcm_ifindex, kind, header.tcm_parent)
    pacesFlows = rate != .max
  }
}

extension RouteConnection {
  /// Every filter behind an ingress or clsact queueing discipline of this namespace.
  public func trafficFilters() throws(Failure) -> [TrafficFilter] {
    try trafficFilters(behind: queueingDisciplines())
  }

  /// The same behind those of `disciplines`.
  public func trafficFilters(behind disciplines: [QueueingDiscipline]) throws(Failure) -> [TrafficFilter] {
    var filters: Set<TrafficFilter> = []
    for (link, kind) in Self.ingressHooks(among: disciplines) {
      filters.formUnion(try self.filters(of: link, parent: 0xffff_fff2, isIngress: true))
      if kind == "clsact" {
        filters.formUnion(try self.filters(of: link, parent: 0xffff_fff3, isIngress: false))
      }
    }
    return Array(filters)
  }

  /// "ingress" or "clsact" of the devices of this namespace that have one.
  public func ingressDisciplines() throws(Failure) -> [Int32: String] {
    Self.ingressHooks(among: try queueingDisciplines())
  }

  private static func ingressHooks(among disciplines: [QueueingDiscipline]) -> [Int32: String] {
    var hooks: [Int32: String] = [:]
    for discipline in disciplines where ["ingress", "clsact"].contains(discipline.kind) {
      hooks[discipline.link] = discipline.kind
    }
    return hooks
  }

  /// Every queueing discipline of this namespace, those below another and those that the kernel made by itself too.
  public func queueingDisciplines() throws(Failure) -> [QueueingDiscipline] {
    var all: [QueueingDiscipline] = []
    var request = try Request(RTM_GETQDISC)
    request.append(header: tcmsg())
    request.put(TCA_DUMP_INVISIBLE, bytes: [])
    try socket.dump(request, "list", "queueing disciplines", reset: { all = [] }) { message throws(Failure) in
      guard message.type == RTM_NEWQDISC else { return }
      all.append(try QueueingDiscipline(parsing: message.payload))
    }
    return all
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
private let TCA_OPTIONS = 2
private let TCA_DUMP_INVISIBLE = 10
private let TCA_FQ_FLOW_MAX_RATE = 7
