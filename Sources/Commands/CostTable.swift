// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Bench
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
  @OptionGroup var forms: ReportForms

  func validate() throws {
    guard entries > 0, changes > 0 else { throw ValidationError("--entries and --changes must be positive.") }
  }

  func execute() throws {
    #if DEBUG
      Terminal.note("warning: a debug build; its timings say nothing")
    #endif
    if let json { try ResultFile.check(json) }
    try forms.check()
    let result = try TableCost(entries: entries, changes: changes).run()
    try Terminal.result(result.text)
    if let json { try ResultFile.write(result.encoded(), to: json) }
    try forms.write(result)
    guard result.missed == 0 else {
      throw Failure("follow", "\(result.missed) of \(3 * changes) changes within a second")
    }
  }
}
