// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem

/// Two builds measured by turns: the other, this, this, the other, each time in a process of its own. What a process
/// happens to be given (pages, places in the cache) and what the machine does meanwhile is in both, and how much a
/// build differs from itself is seen in every block.
public struct CostAgainst {
  /// The executable that this one is compared with, and this one.
  public var other: String
  public var own: String
  /// What both are given after `cost ladder`.
  public var arguments: [String]
  public var blocks: Int
  public var isInterrupted: () -> Bool = { false }

  /// One block: other, own, own, other.
  public struct Block: Sendable {
    public var other: [CostReport]
    public var own: [CostReport]

    public init(other: [CostReport], own: [CostReport]) {
      self.other = other
      self.own = own
    }
  }

  public init(other: String, own: String, arguments: [String], blocks: Int) {
    self.other = other
    self.own = own
    self.arguments = arguments
    self.blocks = blocks
  }

  /// Pairs of a comparison: two a block, and the fewest that support a verdict.
  public static let usualBlocks = (RatioEstimate.pairsForVerdict + 2) / 2

  public func run(_ progress: LiveProgress) throws -> [Block] {
    var done: [Block] = []
    defer { progress.clear() }
    for index in 0..<blocks {
      var block = Block(other: [], own: [])
      for (turn, isOther) in [true, false, false, true].enumerated() {
        if isInterrupted() { throw CostSuite.Interrupted() }
        let path = isOther ? other : own
        progress.show(4 * index + turn, of: 4 * blocks, isOther ? path : "this build")
        let report = try Self.report(of: path, arguments)
        if isOther { block.other.append(report) } else { block.own.append(report) }
      }
      done.append(block)
    }
    return done
  }

  /// What `PATH cost ladder ARGUMENTS` measures.
  static func report(of path: String, _ arguments: [String]) throws -> CostReport {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-cost-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent("result.json")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = ["cost", "ladder"] + arguments + ["--json", file.path]
    process.standardOutput = FileHandle.nullDevice
    // A pipe that nobody empties could stop it: what it says goes to a file.
    let said = folder.appendingPathComponent("said")
    FileManager.default.createFile(atPath: said.path, contents: nil)
    process.standardError = try FileHandle(forWritingTo: said)
    process.standardInput = FileHandle.nullDevice
    do { try process.run() } catch {
      throw Failure(
        "run", path, advice: "Give --against an executable of culvert: \(error.localizedDescription).")
    }
    process.waitUntilExit()
    guard process.terminationReason == .exit, process.terminationStatus == 0 else {
      let words = (try? String(contentsOf: said, encoding: .utf8))?.split(separator: "\n").last.map(
        String.init)
      throw Failure(
        "measure with", path,
        advice: "It ended with status \(process.terminationStatus): \(words ?? "it said nothing").")
    }
    let report = try CostReport.decoded(Data(contentsOf: file))
    guard report.schema == CostReport.schemaName else {
      throw Failure(
        "measure with", path, advice: "Its results are \(report.schema), not \(CostReport.schemaName).")
    }
    return report
  }
}
