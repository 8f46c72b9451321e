// SPDX-License-Identifier: Apache-2.0
import FastPath
import Lab
import LinuxSystem
import TestSupport

/// Where frames of a routed overlay are sent, and where they should arrive.
final class RoutedWire {
  struct Case {
    var name: String
    var frame: [UInt8]
    /// Carried by Culvert where the route leads to another host, or to a container.
    var isFast = false
    /// By tier xdp, which sums raw frames, alone: an outer checksum over the whole of a frame that tier tc cannot take
    /// from inside stays with the kernel.
    var isFastRaw = false

    func isCarried(by tier: Tier) -> Bool { isFast || tier == .xdp && isFastRaw }
    /// A redirect may answer it, which the kernel sends nobody soon after another message: the more of them, the later.
    var isRedirected = false
  }

  /// What came of a frame.
  struct Outcome: Equatable, CustomStringConvertible {
    var there: [[UInt8]]
    var answers: [[UInt8]]
    var description: String { "there \(there), answered \(answers)" }
  }

  private let (out, far): (Box<PacketSocket>, Box<PacketSocket>)
  private let (from, there): (LabNode, LabNode)
  private let (sentByHost, seenByHost): (Bool, Bool)
  private let (insideIsIPv6, outsideIsIPv6): (Bool, Bool)
  private var outerBytes: Int { outsideIsIPv6 ? 70 : 50 }

  /// - Parameter watching: whose eth0 it should arrive at.
  init(_ lab: RoutedLab, from sender: String, watching: String, ipv6: Bool = false) throws {
    func open(_ node: LabNode) throws -> Box<PacketSocket> {
      var made: Box<PacketSocket>?
      try node.run { made = Box(try PacketSocket(interface: "eth0")) }
      return made!
    }
    (sentByHost, seenByHost) = (sender.hasPrefix("host"), watching.hasPrefix("host"))
    (insideIsIPv6, outsideIsIPv6) = (ipv6, lab.isOverIPv6)
    (from, there) = (try lab.node(sender), try lab.node(watching))
    (out, far) = (try open(from), try open(there))
  }

  /// - Parameter expected: by the kernel alone; what came then is waited for longer, and what comes beside it is seen.
  func send(_ one: Case, expecting expected: Outcome? = nil) throws -> Outcome {
    var outcome = try sendOnce(one, expecting: expected)
    guard one.isRedirected else { return outcome }
    // Again, until it is its turn: whether one is sent at all is the kernel's to say.
    _ = try eventually(expected == nil ? 0.5 : 3) {
      if expected.map({ $0 == outcome }) ?? !outcome.answers.isEmpty { return true }
      outcome = try sendOnce(one, expecting: expected)
      return false
    }
    return outcome
  }

  private func sendOnce(_ one: Case, expecting expected: Outcome?) throws -> Outcome {
    // What came of the last one, and is not wanted.
    for socket in [out, far] { while socket.value.receive(milliseconds: 1) != nil {} }
    try out.value.send(one.frame)
    func type(_ isIPv6: Bool) -> [UInt8] { isIPv6 ? [0x86, 0xdd] : [8, 0] }
    func isFor(_ node: LabNode, _ seen: [UInt8], _ type: [UInt8]) -> Bool {
      seen.count > 54 && Array(seen[..<6]) == node.mac.octets && Array(seen[12..<14]) == type
        && !Self.isNeighbourDiscovery(seen)
    }
    func isForwarded(_ seen: [UInt8]) -> Bool { isFor(there, seen, type(seenByHost ? outsideIsIPv6 : insideIsIPv6)) }
    func summary(_ seen: [UInt8]) -> [UInt8] {
      Self.summary(sentByHost ? Array(seen.dropFirst(outerBytes)) : seen, ipv6: insideIsIPv6)
    }
    func isAnswer(_ seen: [UInt8]) -> Bool {
      // "Host unreachable" comes seconds later, when nobody has answered ARP or neighbour solicitations.
      isFor(from, seen, type(sentByHost ? outsideIsIPv6 : insideIsIPv6))
        && !summary(seen).suffix(2).elementsEqual(insideIsIPv6 ? [1, 3] : [3, 1])
    }
    func all(_ socket: Box<PacketSocket>, _ known: Int?, _ quiet: Int, _ isWanted: ([UInt8]) -> Bool) -> [[UInt8]] {
      let first = known.map { socket.value.receive($0, quiet: 500, where: isWanted) } ?? []
      return first + socket.value.receive(2 - first.count, quiet: known == nil ? quiet : 10, where: isWanted)
    }
    let arrived = all(far, expected?.there.count, 60, isForwarded)
    let answers = all(out, expected?.answers.count, 10, isAnswer).map(summary)
    return Outcome(there: arrived.map { seenByHost ? maskedOuter($0) : $0 }, answers: answers)
  }

  /// Solicitations and advertisements, which come when they will.
  private static func isNeighbourDiscovery(_ frame: [UInt8]) -> Bool {
    Array(frame[12..<14]) == [0x86, 0xdd] && frame[20] == 58 && (133...136).contains(frame[54])
  }

  /// Of an answer: who says what to whom, but for IPv6's flow label.
  private static func summary(_ frame: [UInt8], ipv6: Bool) -> [UInt8] {
    if ipv6 { return frame.count > 56 ? Array(frame[14..<15]) + frame[18..<56] : frame }
    return frame.count > 36 ? Array(frame[14..<18]) + frame[20..<24] + frame[26..<36] : frame
  }

  /// Without what a sender may choose.
  private func maskedOuter(_ frame: [UInt8]) -> [UInt8] {
    guard frame.count > outerBytes + 14 else { return frame }
    return outsideIsIPv6 ? SameWireOverIPv6Tests.masked(frame) : SameWireTests.masked(frame)
  }
}
