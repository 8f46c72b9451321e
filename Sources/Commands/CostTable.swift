// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
import Foundation
import LinuxSystem

struct CostTable: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "table",
    abstract: "How fast the forwarding table follows the kernel's.",
    discussion:
      "In namespaces of its own: an overlay of N entries, of which one after the other moves, comes and goes."
  )

  @Option(help: "Entries in the table.")
  var entries = 10_000
  @Option(help: "Changes of each kind that are timed.")
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
    func line(_ name: String, _ samples: [Double]) -> String {
      let figures = [0.5, 0.99, 1].map { number(TableCost.Result.percentile(samples, $0)) }
      return "  \(name)" + figures.map { String(repeating: " ", count: max(1, 12 - $0.count)) + $0 }.joined()
    }
    Terminal.result(
      """
      kernel's FDB → BPF map, \(changes) of each at \(result.entries) entries, µs
                          p50         p99         max
      \(line("moved   ", result.changeToMap))
      \(line("inserted", result.insertToMap))
      \(line("deleted ", result.deleteToMap))
        missed \(result.missed)
      start with \(result.entries) entries: \(number(result.start * 1000)) ms; \(number(result.bytesPerEntry)) bytes an entry
      """)
    if let json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      try encoder.encode(result).write(to: URL(fileURLWithPath: json))
    }
    guard result.missed == 0 else {
      throw Failure("follow", "\(result.missed) of \(3 * changes) changes within a second")
    }
  }
}
