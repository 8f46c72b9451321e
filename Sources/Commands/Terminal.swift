// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Results go to standard output, everything else to standard error.
enum Terminal {
  static func note(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }
  static func result(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    result(String(decoding: try encoder.encode(value), as: UTF8.self))
  }
}
