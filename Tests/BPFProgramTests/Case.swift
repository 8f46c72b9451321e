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

  var action: XDPAction {
    switch verdict {
    case CULVERT_FORWARDED_LOCAL, CULVERT_FORWARDED_ENCAP, CULVERT_FORWARDED_DECAP: .redirect
    case CULVERT_DROP_NOT_A_VTEP: .drop
    default: .pass
    }
  }
}
