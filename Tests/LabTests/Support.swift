// SPDX-License-Identifier: Apache-2.0
import Lab
import LinuxSystem
import PacketHeaders
import TestSupport

/// What a shell command prints, run in the calling thread's namespace.
@discardableResult
func sh(_ command: String) throws -> String { try shell("sh", "-c", command) }

func text(_ address: IPv6Address) -> String {
  stride(from: 0, to: 16, by: 2)
    .map { String(UInt16(address.octets[$0]) << 8 | UInt16(address.octets[$0 + 1]), radix: 16) }
    .joined(separator: ":")
}

/// The counters that move while nobody is asked to send; nil where none does within a second and a half.
func whatIsSentUnasked(in lab: Lab) throws -> String? {
  func counters() throws -> [String] {
    try lab.nodes.map { "\($0.name)\n\(try $0.run { try FileText.read("/proc/thread-self/net/dev") })" }
  }
  let before = try counters()
  var moved: [(String, String)] = []
  let isMoving = try eventually(1.5) {
    moved = zip(before, try counters()).filter { $0 != $1 }
    return !moved.isEmpty
  }
  return isMoving ? moved.map { "\($0.0)\nthen\n\($0.1)" }.joined(separator: "\n") : nil
}
