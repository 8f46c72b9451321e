// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem

/// Results go to standard output, everything else to standard error.
enum Terminal {
  /// Lost where nobody takes it.
  static func note(_ line: String) { StandardStream.message(line + "\n") }
  static func error(_ failure: Failure) {
    // What the kernel refused says so itself.
    note("error: \(failure.errno == nil ? "cannot " : "")\(failure)")
  }
  static func result(_ text: String) throws(Failure) { try StandardStream.result(text + "\n") }

  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try result(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  /// Of the terminal that standard output is; nil where it is none.
  static var columns: Int? {
    var size = winsize()
    guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  /// Standard output is a terminal that knows colours, and nobody objects (no-color.org).
  static var isColoured: Bool {
    let environment = ProcessInfo.processInfo.environment
    return isatty(1) == 1 && environment["TERM"] != "dumb" && (environment["NO_COLOR"] ?? "").isEmpty
  }
}
