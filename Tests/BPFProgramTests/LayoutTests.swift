// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import CLibXDP
import TestSupport
import Testing

/// bpf/abi as clang laid it out for BPF (the objects' BTF) and as Swift has it.
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct LayoutTests {
  struct Layout: Equatable {
    var size: Int
    var offsets: [Int]
  }

  static func inSwift<T>(_: T.Type, _ fields: PartialKeyPath<T>...) -> Layout {
    Layout(size: MemoryLayout<T>.size, offsets: fields.map { MemoryLayout<T>.offset(of: $0)! })
  }

  /// Fields in the header's order; a missing one makes the lists differ.
  static let expected: [String: Layout] = [
    "culvert_fdb_entry": inSwift(culvert_fdb_entry.self, \.key, \.nexthop, \.refreshed),
    "culvert_fdb_bucket": inSwift(culvert_fdb_bucket.self, \.entries),
    "culvert_port": inSwift(
      culvert_port.self, \.ifindex, \.mtu, \.flags, \.domain, \.mac, \.zero, \.relay_out, \.relay_in),
    "culvert_config": inSwift(
      culvert_config.self, \.group, \.uplink, \.hash_seed, \.fdb_seed, \.fdb_buckets, \.zero2),
    "culvert_tunnel": inSwift(
      culvert_tunnel.self, \.dst_mac, \.src_mac, \.local, \.remote, \.vni_be, \.udp_port, \.source_min,
      \.source_max, \.ttl, \.tos, \.flags, \.mtu, \.reason, \.valid,
      \.uplink),
    "culvert_tunnel6": inSwift(
      culvert_tunnel6.self, \.dst_mac, \.src_mac, \.label, \.local, \.remote, \.vni_be, \.udp_port, \.source_min,
      \.source_max, \.ttl, \.tos, \.flags, \.mtu, \.reason, \.valid, \.uplink),
    "culvert_vni_key6": inSwift(culvert_vni_key6.self, \.vni_be, \.local, \.udp_port, \.zero),
    "culvert_vtep_key6": inSwift(culvert_vtep_key6.self, \.domain, \.remote),
    "culvert_cached_flow6": inSwift(
      culvert_cached_flow6.self, \.jiffy, \.generation, \.macs, \.from, \.local, \.vni_be, \.arrival, \.slot,
      \.target, \.kind, \.addresses),
    "culvert_vni_key": inSwift(culvert_vni_key.self, \.vni_be, \.local, \.udp_port, \.zero),
    "culvert_domain": inSwift(culvert_domain.self, \.domain, \.flags),
    "culvert_vtep_key": inSwift(culvert_vtep_key.self, \.domain, \.remote),
    "culvert_cached_flow": inSwift(
      culvert_cached_flow.self, \.jiffy, \.generation, \.macs, \.from, \.local, \.vni_be, \.arrival, \.slot, \.target,
      \.kind, \.zero),
    "culvert_routed_device": inSwift(
      culvert_routed_device.self, \.kind, \.domain, \.slot, \.router, \.mac, \.left4, \.left6),
    "culvert_connection_policy": inSwift(
      culvert_connection_policy.self, \.flags, \.mark, \.tcp_timeout, \.tcp_due, \.udp_timeout, \.udp_due,
      \.udp_reply_due),
    "culvert_ids": inSwift(culvert_ids.self, \.next),
    "culvert_counters": inSwift(culvert_counters.self, \.packets, \.bytes),
    "culvert_device_key": inSwift(culvert_device_key.self, \.ifindex, \.netns),
    "culvert_xmit_drops": inSwift(culvert_xmit_drops.self, \.not_sent, \.not_redirected, \.not_taken),
    "culvert_generator": inSwift(
      culvert_generator.self, \.rate, \.stop_ns, \.last_ns, \.tokens, \.sent, \.sequence_offset,
      \.stamp_offset),
    "culvert_template": inSwift(
      culvert_template.self, \.data, \.bytes, \.flows, \.flow_offset, \.flow_first, \.flow, \.ends,
      \.ends_offset, \.end, \.by_device, \.run, \.run_left, \.numbers, \.number_offset, \.number),
    "culvert_ends": inSwift(culvert_ends.self, \.destination, \.source),
    "culvert_sink_filter": inSwift(culvert_sink_filter.self, \.ethertype, \.port, \.stamp_offset, \.zero),
    "culvert_send": inSwift(culvert_send.self, \.address, \.bytes, \.slot),
    "culvert_sending": inSwift(culvert_sending.self, \.next, \.count, \.refused, \.zero),
    "culvert_sunk": inSwift(culvert_sunk.self, \.packets, \.bytes),
  ]

  /// Every structure of ours in an object's BTF.
  static func btf(_ embedded: culvert_bpf_object) throws -> [String: Layout] {
    let object = try BPFObject(
      name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    let pointer = object.btf
    let btf = try #require(pointer)
    var found: [String: Layout] = [:]
    for id in 1..<btf__type_cnt(btf) {
      guard let type = btf__type_by_id(btf, id), btf_kind(type) == BTF_KIND_STRUCT,
        let text = btf__name_by_offset(btf, type.pointee.name_off)
      else { continue }
      let name = String(cString: text)
      guard name.hasPrefix("culvert_") else { continue }
      let members = UnsafeBufferPointer(start: btf_members(type), count: Int(btf_vlen(type)))
      found[name] = Layout(size: Int(type.pointee.size), offsets: members.map { Int($0.offset) / 8 })
    }
    return found
  }

  @Test func equalOnBothSides() throws {
    var seen = Set<String>()
    for embedded in [
      culvert_bpf_xdp(), culvert_bpf_xdp6(), culvert_bpf_tc6(), culvert_bpf_routed(), culvert_bpf_routed6(), culvert_bpf_send(), culvert_bpf_bench(), culvert_bpf_drops(),
    ] {
      for (name, layout) in try Self.btf(embedded) {
        #expect(Self.expected[name] == layout, "\(name)")
        seen.insert(name)
      }
    }
    #expect(seen == Set(Self.expected.keys))
  }
}
