// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import Netlink
import PacketHeaders
import TestSupport
import Testing

@testable import FastPath

/// This kernel's verifier takes each program, also those of overlays that no other test here has.
@Suite(.serialized, .enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct EveryProgramTests {
  enum Datapath: String, CaseIterable, Sendable {
    case xdp, xdp6, afxdp, tc, tc6, routed, routed6, routedXDP, routedXDP6, cost

    var isIPv6: Bool { rawValue.hasSuffix("6") }
    var isOfSkbs: Bool { [.tc, .tc6].contains(self) || translatesSkbs }
    var translatesSkbs: Bool { [.routed, .routed6].contains(self) }
    var object: culvert_bpf_object {
      switch self {
      case .xdp: culvert_bpf_xdp()
      case .xdp6: culvert_bpf_xdp6()
      case .afxdp: culvert_bpf_afxdp()
      case .tc: culvert_bpf_tc()
      case .tc6: culvert_bpf_tc6()
      case .routed: culvert_bpf_routed()
      case .routed6: culvert_bpf_routed6()
      case .routedXDP: culvert_bpf_routed_xdp()
      case .routedXDP6: culvert_bpf_routed_xdp6()
      case .cost: culvert_bpf_cost()
      }
    }
  }

  enum Tool: String, CaseIterable, Sendable {
    case probe, send, bench, drops

    var object: culvert_bpf_object {
      switch self {
      case .probe: culvert_bpf_probe()
      case .send: culvert_bpf_send()
      case .bench: culvert_bpf_bench()
      case .drops: culvert_bpf_drops()
      }
    }
  }

  /// Each alone and over the maps of its tier, with what this kernel can do: no branch is dead but other kernels'.
  @Test(arguments: Datapath.allCases, [false, true]) func ofDatapath(_ datapath: Datapath, isExact: Bool) throws {
    let flags = try TCTier.decapsulationFlags()
    let checksumFlag = try TCTier.checksumFlag()
    let tables = try BPFTables(
      FastPathOptions(overlay: "br0"), object: datapath.object, isIPv6: datapath.isIPv6
    ) { object in
      if datapath.isOfSkbs {
        try object.set("decap_flags", to: flags)
        try object.set("exact_checksums", to: isExact ? 1 as UInt64 : 0)
      }
      if datapath.translatesSkbs { try object.set("ip6_checksum_flag", to: checksumFlag) }
    }
    let programs = try Self.opened(datapath.object).programNames
    #expect(programs.count > 1)
    for program in programs {
      if program.hasSuffix("_connections") { try ConntrackConnection.load() }
      #expect(throws: Never.self, "\(program)") { _ = try tables.load([program]) }
    }
  }

  @Test(arguments: Tool.allCases) func ofTool(_ tool: Tool) throws {
    var object = try Self.opened(tool.object)
    #expect(!object.programNames.isEmpty)
    try object.load()
  }

  private static func opened(_ embedded: culvert_bpf_object) throws -> BPFObject {
    try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
  }
}
