// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import LinuxSystem

public struct Culvert: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "culvert",
    abstract: "An XDP, AF_XDP or tc fast path for Linux bridge + VXLAN overlays, and its benchmarks.",
    discussion: """
      Exit status: 0 done; 1 failed; 2 a threshold was missed; 64 usage; 69 this kernel or interface cannot do it; 77 needs \
      root. `status` and `lab exec` have more: see their help.
      """,
    version: "culvert \(Build.version)\(Build.isDebug ? " (debug build)" : "")",
    subcommands: [
      Up.self, Down.self, StatusCommand.self, StatsCommand.self, Probe.self, LabCommand.self, AB.self,
      Report.self, Cost.self, Paper.self, Advise.self,
    ])
  public init() {}

  /// What is no command at all is said so, with what may have been meant; nil where it is one.
  static func unknownCommand(_ arguments: [String]) -> String? {
    let known = configuration.subcommands.map { $0._commandName } + ["help"]
    guard let word = arguments.first, !word.hasPrefix("-"), !known.contains(word) else { return nil }
    let like = known.filter { $0.hasPrefix(word.prefix(2)) }
    return "\(word) is not a command of culvert. "
      + (like.isEmpty ? "There are: \(known.joined(separator: ", "))." : "Did you mean \(like.joined(separator: " or "))?")
  }

  public static func start() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if let text = unknownCommand(arguments) { end(usage: text, next: help(for: arguments)) }
    do {
      var command = try parseAsRoot(arguments)
      try command.run()
    } catch {
      guard exitCode(for: error).rawValue == ExitStatus.usage.rawValue, !(error is ExitCode) else { exit(withError: error) }
      end(usage: message(for: error), next: help(for: arguments))
    }
  }

  /// One form for every bad input, whoever found it.
  static func usageError(_ text: String, next: String) -> String {
    let lines = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    let first = lines.first ?? "the arguments do not fit"
    return (["error: \(first)"] + lines.dropFirst().map { "  \($0)" } + ["  See `\(next)`."]).joined(separator: "\n")
  }

  private static func end(usage text: String, next: String) -> Never {
    Terminal.note(usageError(text, next: next))
    exit(withError: ExitCode(ExitStatus.usage.rawValue))
  }

  /// What explains the command that was meant.
  static func help(for arguments: [String]) -> String {
    var (words, type): ([String], any ParsableCommand.Type) = (["culvert"], Culvert.self)
    for word in arguments {
      guard let next = type.configuration.subcommands.first(where: { $0._commandName == word }) else { break }
      words.append(word)
      type = next
    }
    return (words + ["--help"]).joined(separator: " ")
  }
}
