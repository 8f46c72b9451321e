// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import Foundation
import LinuxSystem

struct CostTable: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "table",
    abstract: "How fast the forwarding table follows the kernel's.",
    discussion: "In namespaces of its own: an overlay of N entries, whose destinations change one by one.")

  @Option(help: "Entries in the table.")
  var entries = 10_000
  @Option(help: "Changes that are timed.")
  var changes = 1_000
  @Option(help: "Write the result there as JSON.")
  var json: String?

  func validate() throws {
    guard entries > 0, changes > 0 else { throw ValidationError("--entries and --changes must be positive.") }
  }

  func execute() throws {
    #if DEBUG
      Terminal.note("warning: a debug build; its timings say nothing")
    #endif
    let result = try TableCost(entries: entries, changes: changes).run()
    func number(_ value: Double) -> String { String(format: "%.1f", value) }
    Terminal.result(
      """
      change of the kernel's FDB → BPF map, \(result.changeToMap.count) changes at \(result.entries) entries, µs
        p50 \(number(result.percentile(0.5)))   p99 \(number(result.percentile(0.99)))   \
      max \(number(result.changeToMap.last ?? .nan))   missed \(result.missed)
      start with \(result.entries) entries: \(number(result.start * 1000)) ms; \(number(result.bytesPerEntry)) bytes an entry
      """)
    if let json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      try encoder.encode(result).write(to: URL(fileURLWithPath: json))
    }
    guard result.missed == 0 else {
      throw Failure("follow", "\(result.missed) of \(changes) changes within a second")
    }
  }
}
