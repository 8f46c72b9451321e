// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import FastPath
import Foundation
import TestSupport
import Testing

/// docs/data-plane.md says what the programs do: its table names cases of these tests.
@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct DocumentTests {
  private struct Line {
    var name: String
    var cells: [String]
  }

  /// Lines of a table whose columns are the families of programs.
  private static func table() throws -> [Line] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent("docs/data-plane.md"), encoding: .utf8)
    var lines: [Line] = []
    var isInside = false
    for line in text.components(separatedBy: "\n") {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      if cells.dropFirst() == ["xdp", "afxdp", "tc"] {
        isInside = true
      } else if !line.hasPrefix("|") {
        isInside = false
      } else if isInside, !cells[0].allSatisfy({ "-:".contains($0) }) {
        lines.append(Line(name: cells[0], cells: Array(cells.dropFirst())))
      }
    }
    return lines
  }

  private static func words(_ verdict: culvert_verdict) -> String {
    let known = Verdict(rawValue: verdict.rawValue)!
    return known.verdictClass == .passed ? "kernel: \(known.name)" : known.name
  }

  /// Cases that one family cannot try (its cell is then what the others' code shares).
  private static let untried = "–"

  @Test func theTableSaysWhatTheProgramsDo() throws {
    let cases = VerdictTests.groups.values.joined()
    for line in try Self.table() {
      let one = try #require(cases.first { $0.name == line.name }, "no case is called \(line.name)")
      let cells = [Family.xdp, .afxdp, .tc].map { family in
        one.seen(by: family).map { Self.words($0.verdict) } ?? Self.untried
      }
      #expect(line.cells == cells, "\(line.name)")
    }
  }

  @Test func everyVerdictIsInTheTable() throws {
    let cells = Set(try Self.table().flatMap(\.cells))
    // What takes more than a frame to try: LifeTests, SegmentTests and StalledWorkerTests; and what only routers say.
    let others: Set<Verdict> = [.passHeadroom, .passUnsupported, .passWorker, .passIPHeader, .passRoute, .passConnection]
    for verdict in Verdict.allCases where !others.contains(verdict) {
      #expect(cells.contains(Self.words(culvert_verdict(verdict.rawValue))), "\(verdict.name)")
    }
  }
}
