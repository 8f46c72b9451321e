// SPDX-License-Identifier: Apache-2.0

/// What of an overlay is carried at present, and why the rest is not.
public struct Readiness: Sendable, Equatable {
  /// Containers' ports.
  public var carried: Int
  public var ports: Int
  /// By reason, the ports that are the kernel's because of it: the uplink's reasons concern them all.
  public var reasons: [(reason: String, ports: [String])]

  public init(_ status: Status) {
    let containers = status.ports.filter { $0.role == "container" }
    let uplinkReason = status.ports.first { $0.role == "uplink" }?.reason
    ports = containers.count
    carried = containers.count { $0.tier != nil && $0.reason == nil }
    reasons = []
    if let uplinkReason { reasons.append((uplinkReason, [])) }
    for port in containers {
      guard let reason = port.reason, reason != uplinkReason else { continue }
      if let index = reasons.firstIndex(where: { $0.reason == reason }) {
        reasons[index].ports.append(port.name)
      } else {
        reasons.append((reason, [port.name]))
      }
    }
  }

  public static func == (one: Readiness, other: Readiness) -> Bool {
    one.carried == other.carried && one.ports == other.ports
      && one.reasons.map(\.reason) == other.reasons.map(\.reason)
      && one.reasons.map(\.ports) == other.reasons.map(\.ports)
  }

  /// Something keeps it from carrying anything: a bridge that only has no container yet is not that.
  public var isBlocked: Bool { carried == 0 && !reasons.isEmpty }

  /// As in "serving 1 of 2 ports: va2: is isolated".
  public var line: String {
    guard ports > 0 || !reasons.isEmpty else { return "no container port yet" }
    let start = "serving \(carried) of \(ports) \(ports == 1 ? "port" : "ports")"
    let why = reasons.map {
      $0.ports.isEmpty ? $0.reason : "\($0.ports.joined(separator: ", ")): \($0.reason)"
    }
    return why.isEmpty ? start : "\(start): \(why.joined(separator: "; "))"
  }
}
