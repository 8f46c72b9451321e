// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import LinuxSystem

struct Down: CulvertCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give the packets back to the kernel and restore what was changed.",
    discussion:
      "Ends the fast paths of a namespace. After a crash it restores from the journal what the dead process had set."
  )

  @Option(help: "Network namespace of the overlay: a name, a path or a PID (default: this one).")
  var netns: String?
  @Flag(help: "In every namespace.")
  var all = false
  @Flag(help: "Print JSON.")
  var json = false

  func execute() throws {
    let directories = try Overlays.directories(namespace: netns, all: all)
    var ended: [[String]] = []
    var failures: [Failure] = []
    for directory in directories {
      do { ended.append(try Overlays.down(directory)) } catch let failure as Failure {
        failures.append(failure)
      }
    }
    defer { for failure in failures.dropLast() { Terminal.note("error: \(failure)") } }
    if json {
      try Terminal.json(["ended": ended])
    } else {
      for line in ended.joined() { Terminal.result(line) }
    }
    if let last = failures.last { throw last }
    if directories.isEmpty, !json {
      let elsewhere = RuntimeDirectory.all().compactMap(\.owner)
      Terminal.note("nothing to end here\(elsewhere.isEmpty ? "" : "; elsewhere:")")
      for owner in elsewhere { Terminal.note("  \(owner.overlay): \(owner.downCommand)") }
    }
  }
}
