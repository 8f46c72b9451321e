// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects

/// Packet in, action, packet out, counter.
struct Case: Sendable {
  enum Out: Sendable {
    /// Byte for byte what came in.
    case unchanged
    /// Encapsulated with these outer headers; port and identification are the sender's choice.
    case encapsulated(Outer)
    case exactly([UInt8])
  }

  var name: String
  var program: Program
  var frame: [UInt8]
  var verdict: culvert_verdict
  var slot: UInt32
  var out = Out.unchanged
  var prepare: @Sendable (Fixture) throws -> Void = { _ in }

  /// The outer checksum needs a pass over the whole frame, which only some families have.
  var needsSum = false
  /// From an address to itself: tier tc leaves that to the kernel's rules about it.
  var isToItself = false
  var toItself: Case {
    var copy = self
    copy.isToItself = true
    return copy
  }
  /// It is about the map of devices that only tier `xdp` redirects by.
  var isAboutDevices = false
  var aboutDevices: Case {
    var copy = self
    copy.isAboutDevices = true
    return copy
  }

  /// The case as a family of programs sees it, where it does otherwise than tier `xdp` by design; nil where
  /// it cannot be tried.
  func seen(by family: Family) -> Case? {
    var copy = self
    if isAboutDevices && family != .xdp { return nil }
    switch family {
    case .xdp: break
    case .afxdp:
      if verdict == CULVERT_PASS_CHECKSUM && program == .port {
        // User space sums what BPF cannot.
        copy.verdict = CULVERT_FORWARDED_ENCAP
        copy.out = .encapsulated(Case.with { $0.checksum = true })
      }
      if frame.count > Fixture.frameLimit && copy.action == .redirect {
        copy.verdict = CULVERT_PASS_MULTI_BUFFER
        copy.out = .unchanged
      }
    case .tc:
      // BPF_PROG_TEST_RUN makes skbs of one page at most, and none without a whole IP header.
      let header = frame[12..<14] == [8, 0] ? 34 : frame[12..<14] == [0x86, 0xdd] ? 54 : 14
      if frame.count > 3000 || frame.count < header { return nil }
      if needsSum {
        copy.verdict = CULVERT_PASS_CHECKSUM
        copy.out = .unchanged
      }
      if isToItself { copy.verdict = CULVERT_PASS_POLICY }
    }
    return copy
  }

  var action: XDPAction {
    switch verdict {
    case CULVERT_FORWARDED_LOCAL, CULVERT_FORWARDED_ENCAP, CULVERT_FORWARDED_DECAP: .redirect
    case CULVERT_DROP_NOT_A_VTEP: .drop
    default: .pass
    }
  }
}
