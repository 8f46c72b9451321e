// SPDX-License-Identifier: Apache-2.0

/// What the steps are, and the whole in a sentence.
extension CostReport.Step {
  /// In a line; nil of a whole host, whose name is a network's.
  var explanation: String? {
    if part == .path { return nil }
    if step.hasPrefix("kernel: ") { return "a packet that is left to the kernel for this reason, up to that decision" }
    let name = step.replacing(", looked up", with: "").replacing(", remembered", with: "")
    let found = step.hasSuffix("looked up") ? ", by the forwarding table alone" : ""
    return Self.explanations[name].map { $0 + found }
  }

  private static let explanations = [
    "parse": "the headers of the inner frame are read and checked",
    "hit": "source and destination are found, in the port's memory of its last flows",
    "encapsulate": "room is made and the outer headers are written: all that a container's packet costs",
    "outer headers": "outer Ethernet, IP, UDP and VXLAN headers are read and checked",
    "decapsulate": "the outer headers are taken off and the destination is found: all that the wire's packet costs",
    "touch": "the loop itself, and a byte of each frame: what memory alone costs",
    "look-up": "what the program found out is read, and the tunnel that it names",
    "complete": "a checksum that the sender left to its device is computed, a pass over the frame",
    "whole": "all that the forwarder does to a frame, but for the rings",
    "rings": "a descriptor is received, offered anew, transmitted and taken back, without the kernel's part of that",
  ]

  /// As the HTML page names it.
  var anchor: String { "step-" + String(step.map { $0.isLetter || $0.isNumber ? $0 : "-" }) }

  /// As most of the ladder is measured: 64 bytes of IPv4, bursts of 64, the same remote end with each packet.
  var isUsual: Bool {
    let conditions = conditions
    return (conditions.ipVersion ?? 4) == 4 && (conditions.bytes ?? 64) == 64 && conditions.destinations != "all"
      && [nil, 64].contains(conditions.burst) && (conditions.containers ?? 1) == 1
      && (part != .path || conditions.entries == nil)
  }
}

extension CostReport {
  /// The figures that stand for the rest: what is done, by what, and what that is beside.
  var highlights: [(what: String, step: Step, beside: String?)] {
    func first(_ part: Part, _ name: String) -> Step? {
      steps.first { $0.part == part && $0.step == name && $0.isUsual && !$0.nsPerPacket.isHidden }
    }
    var lines: [(what: String, step: Step, beside: String?)] = []
    for name in ["encapsulate", "decapsulate"] {
      if let step = first(.bpf, name) { lines.append(("tier xdp, to \(name)", step, nil)) }
    }
    if let step = first(.swift, "whole") { lines.append(("tier afxdp's forwarder, all of it", step, nil)) }
    if let step = first(.swift, "encapsulate") {
      lines.append(
        ("tier afxdp's forwarder, to encapsulate", step, step.referenceRatio.map { "\(Quantity.number($0.median))× the same in C" }))
    }
    for step in steps where step.part == .path && step.isUsual && !step.nsPerPacket.isHidden {
      let faster = step.timesFaster?.first { $0.than == "vxlan" }
      lines.append(
        ("a whole host by \(step.tier), \(step.step)", step, faster.map { "\(Quantity.number($0.median))× the kernel's rate" }))
    }
    return lines
  }

  var sentence: String {
    func time(_ step: Step) -> String { "\(Quantity.nanoseconds(step.nsPerPacket.median)) ns" }
    let all = highlights
    let parts = [
      all.first { $0.step.part == .bpf }.map { "\(time($0.step)) in tier xdp's program" },
      all.first { $0.step.part == .swift }.map { "\(time($0.step)) in tier afxdp's forwarder" },
      all.first { $0.step.part == .path && $0.step.tier == "vxlan+xdp" }.map { "\(time($0.step)) of a whole host by xdp" },
      all.first { $0.step.part == .path && $0.step.tier == "vxlan" }.map { "\(time($0.step)) by the kernel" },
    ].compactMap(\.self)
    return parts.isEmpty ? "What a packet costs, step by step" : "A packet costs \(parts.joined(separator: ", "))"
  }
}
