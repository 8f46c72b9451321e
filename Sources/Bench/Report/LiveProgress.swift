// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem

/// One line on standard error that says what runs and for how much longer; silent where that is no terminal.
public final class LiveProgress {
  private let isTerminal = isatty(2) == 1
  private let start = Clock.monotonicNanoseconds
  /// A `^C` still fits behind it.
  private static let width = 76

  public init() {}

  public func show(_ progress: Campaign.Progress) {
    show(progress.done, of: progress.planned, progress.what)
  }

  public func show(_ done: Int, of planned: Int, _ what: String) {
    guard isTerminal else { return }
    let elapsed = Double(Clock.monotonicNanoseconds - start) / 1e9
    let remaining = done > 2 ? Self.time(elapsed / Double(done) * Double(planned - done)) + " left" : ""
    let line = "[\(done)/\(planned)] \(what)".left(Self.width - remaining.count - 1)
    write("\r\u{1b}[K" + line + " " + remaining)
  }

  public func clear() { if isTerminal { write("\r\u{1b}[K") } }

  private static func time(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    return String(format: "%d:%02d", whole / 60, whole % 60)
  }

  private func write(_ text: String) { StandardStream.message(text) }
}
