// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem

/// Where a result was measured: the part of `environment` in the JSON that the machine decides.
public struct MachineEnvironment: Codable, Sendable, Equatable {
  public var kernel: String
  public var cpu: String
  public var cpus: Int
  public var virtualised: Bool
  /// Per vulnerability, what /sys/devices/system/cpu/vulnerabilities says.
  public var mitigations: [String: String]

  public static func read() -> MachineEnvironment {
    let info = text("/proc/cpuinfo").split(separator: "\n")
    func field(_ name: String) -> String? {
      info.first { $0.hasPrefix(name) }?.split(separator: ":", maxSplits: 1).last
        .map { $0.trimmingCharacters(in: .whitespaces) }
    }
    let folder = "/sys/devices/system/cpu/vulnerabilities"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return MachineEnvironment(
      kernel: text("/proc/sys/kernel/osrelease"),
      cpu: field("model name") ?? field("CPU part") ?? "unknown",
      cpus: CPU.count,
      virtualised: field("flags")?.split(separator: " ").contains("hypervisor") ?? false,
      mitigations: Dictionary(uniqueKeysWithValues: names.map { ($0, text("\(folder)/\($0)")) }))
  }

  private static func text(_ path: String) -> String {
    guard let bytes = FileManager.default.contents(atPath: path) else { return "unknown" }
    return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
