// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastPath
import Foundation
import Glibc
import LinuxSystem

struct StatsCommand: CulvertCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Per port: in = forwarded + passed to the kernel + dropped, by reason.",
    discussion: """
      Changes nothing. Shares are of what came in. With --watch and --json a line of JSON is printed every second, \
      with its time, and rates since the line before.
      """)

  @Option(
    help: "Only the overlays of this namespace: a name, a path or a PID.", completion: .namespaces)
  var netns: String?
  @Option(
    help: "Only this overlay, by its bridge or its VXLAN device; may be repeated.", completion: .servedOverlays)
  var overlay: [String] = []
  @Flag(help: "Print JSON.")
  var json = false
  @Flag(help: "Repeat every second, with the rates and shares of that second, until interrupted.")
  var watch = false

  func execute() throws {
    let screen = Screen()
    var watches: [RuntimeDirectory: StatsWatch] = [:]
    var before: [RuntimeDirectory: Stats] = [:]
    var last = Clock.monotonicNanoseconds
    while true {
      let (now, failures) = try read()
      let seconds = before.isEmpty ? nil : Double(Clock.monotonicNanoseconds - last) / 1e9
      last = Clock.monotonicNanoseconds
      switch (json, watch) {
      case (true, true): try printLine(now.map { $0.stats.rated(since: before[$0.directory], seconds: seconds) })
      case (true, false): try Terminal.json(now.map(\.stats))
      case (false, true):
        let tables = now.map { watches[$0.directory, default: StatsWatch()].text($0.stats, seconds: seconds) }
        try screen.show(tables.joined(separator: "\n"))
      case (false, false): for one in now { try Terminal.result(StatsTable(one.stats).text) }
      }
      for failure in failures.dropLast() { Terminal.error(failure) }
      if let failure = failures.last { throw failure }
      if now.isEmpty { return try sayNothingIsThere() }
      guard watch else { return }
      before = Dictionary(now.map { ($0.directory, $0.stats) }, uniquingKeysWith: { $1 })
      sleep(1)
    }
  }

  private func read() throws -> (all: [(directory: RuntimeDirectory, stats: Stats)], failures: [Failure]) {
    var all: [(directory: RuntimeDirectory, stats: Stats)] = []
    var failures: [Failure] = []
    for directory in try Overlays.directories(namespace: netns, all: netns == nil, named: overlay)
    where !directory.isAgents {
      do {
        if let stats = try Overlays.stats(directory) { all.append((directory, stats)) }
      } catch { failures.append(error) }
    }
    return (all, failures)
  }

  private func printLine(_ all: [Stats]) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let time = ISO8601DateFormatter().string(from: Date())
    let timed = all.map { stats in
      var stats = stats
      stats.time = time
      return stats
    }
    try Terminal.result(String(decoding: try encoder.encode(timed), as: UTF8.self))
  }

  /// A process that died is not nothing.
  private func sayNothingIsThere() throws {
    let statuses = try Overlays.directories(namespace: netns, all: netns == nil, named: overlay).compactMap {
      try Overlays.status($0)
    }
    guard let dead = statuses.first(where: { $0.state == "dead" }) else {
      return Terminal.note("culvert serves no overlay")
    }
    throw Failure("ask for stats", "process \(dead.pid)", advice: "It died; `culvert status` says more.")
  }
}

/// Standard output for what is shown again and again: redrawn in place where that is a terminal that can.
private struct Screen {
  private let redraws = isatty(1) == 1 && ProcessInfo.processInfo.environment["TERM"] ?? "dumb" != "dumb"

  func show(_ text: String) throws(Failure) {
    let head = "every second, Ctrl-C ends it   \(Self.time())\n"
    guard redraws else { return try Terminal.result(head + text) }
    // Each line is written over the one that was there, so that nothing flickers.
    let lines = (head + text).split(separator: "\n", omittingEmptySubsequences: false)
    try StandardStream.result("\u{1b}[H" + lines.map { "\($0)\u{1b}[K\n" }.joined() + "\u{1b}[J")
  }

  private static func time() -> String {
    let format = DateFormatter()
    format.dateFormat = "HH:mm:ss"
    return format.string(from: Date())
  }
}
