// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import LinuxSystem

struct Down: CulvertCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stop the fast path and restore what was changed; the kernel forwards everything.",
    discussion: """
      Ends the fast paths of a namespace, and the process that looks for overlays there; with --overlay only that one, which is \
      not served again by itself. After a crash it restores from the journal what the dead process had set.
      """
  )

  @Option(
    help: "Network namespace of the overlay: a name, a path or a PID (default: this one).",
    completion: .namespaces)
  var netns: String?
  @Option(
    help: "Only this overlay, by its bridge or its VXLAN device; may be repeated.", completion: .servedOverlays)
  var overlay: [String] = []
  @Flag(help: "In every namespace.")
  var all = false
  @Flag(help: "Print JSON.")
  var json = false

  private struct Answer: Encodable {
    var schema = "culvert.down/1"
    var ended: [DownResult]
  }

  func execute() throws {
    let directories = try Overlays.directories(namespace: netns, all: all, named: overlay)
    let records = try Overlays.ended(namespace: netns, all: all).filter {
      overlay.isEmpty || overlay.contains($0.overlay)
    }
    var ended: [DownResult] = []
    var failures: [Failure] = []
    for directory in directories {
      do {
        if let result = try Overlays.down(directory) { ended.append(result) }
      } catch let failure as Failure { failures.append(failure) }
    }
    ended += EndRecord.clear { records.contains($0) }.map(DownResult.init(clearing:))
    Overlays.restoreOrphans { Terminal.note($0) }
    defer { for failure in failures.dropLast() { Terminal.error(failure) } }
    if json {
      try Terminal.json(Answer(ended: ended))
    } else {
      for result in ended { try Terminal.result(Self.render(result)) }
    }
    if let last = failures.last { throw last }
    if ended.isEmpty, !json { sayWhatIsElsewhere() }
  }

  private func sayWhatIsElsewhere() {
    let elsewhere = RuntimeDirectory.all().compactMap(\.owner)
    Terminal.note("nothing to end here\(elsewhere.isEmpty ? "" : "; elsewhere:")")
    for owner in elsewhere { Terminal.note("  \(owner.overlay): \(owner.downCommand)") }
  }

  static func render(_ result: DownResult) -> String {
    let what =
      switch result.state {
      case "ended": "fast path stopped (process \(result.pid)); the kernel forwards everything"
      case "restored": "process \(result.pid) had died; the kernel forwards everything"
      default: "it had ended by itself (process \(result.pid)); its record is removed"
      }
    return (["\(result.overlay): \(what)"] + result.restored.map { "  \($0)" }).joined(separator: "\n")
  }
}
