// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// A rule of netfilter: its expressions in order, each of which may end it (nft(8), "nft --debug=netlink").
/// Rules of legacy iptables are put into the same words.
public struct FilterRule: Sendable, Hashable {
  /// By which nft(8) names it; nil in legacy tables.
  public var handle: UInt64?
  var expressions: [Expression] = []

  enum Expression: Sendable, Hashable {
    case payload(base: UInt32, offset: Int, count: Int, into: Int)
    case meta(key: UInt32, into: Int)
    case connectionState(into: Int)
    /// Bytes of which nothing is known beforehand; `perPacket` names them where they need not be the same for each of
    /// a connection's packets in one direction.
    case load(into: Int, count: Int, perPacket: String?)
    /// Made of others in a way that is not followed.
    case derive(from: Int, into: Int, count: Int)
    /// NFTA_FIB_RESULT and NFTA_FIB_FLAGS.
    case route(into: Int, result: UInt32, flags: UInt32)
    case bitwise(from: Int, into: Int, count: Int, mask: [UInt8], xor: [UInt8])
    case swap(from: Int, into: Int, count: Int, size: Int)
    case constant([UInt8], into: Int)
    case compare(Comparison, from: Int, [UInt8])
    case range(from: Int, low: [UInt8], high: [UInt8], isInverted: Bool)
    case lookUp(set: String, from: Int, into: Int?, isInverted: Bool)
    case verdict(Verdict)
    /// Of iptables, translated by nobody.
    case match(name: String, revision: UInt32, info: [UInt8])
    /// May hold or not, by what packets came before.
    case stateful(String)
    /// Neither decides nor changes anything; a rule of nothing else is there to count.
    case counter
    case harmless
    /// The bits of `mask` are cleared, those of `value` changed.
    case setMark(value: [UInt8], mask: [UInt8])
    case storeMark(from: Int)
    /// From the connection's, as CONNMARK does.
    case restoreMark
    case reject
    /// What it does to a connection's first packet, or to what the kernel notes of the connection.
    case connectionEffect(String)
    /// What it does to a packet that gets so far.
    case effect(String)
  }

  enum Comparison: UInt32, Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual }

  public enum Verdict: Sendable, Hashable {
    case accept, `return`, proceed
    case jump(String)
    case goto(String)
    case drop
    case other(String)
  }
}
