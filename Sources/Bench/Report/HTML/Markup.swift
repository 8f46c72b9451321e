// SPDX-License-Identifier: Apache-2.0

/// A piece of well-formed XHTML or SVG. What comes from a report is text and is escaped; what is in this
/// module is markup.
struct Markup: ExpressibleByStringInterpolation, Sendable {
  var source: String

  init(stringLiteral value: String) { source = value }
  init(source: String) { self.source = source }

  struct StringInterpolation: StringInterpolationProtocol {
    var source = ""
    init(literalCapacity: Int, interpolationCount: Int) {}
    mutating func appendLiteral(_ literal: String) { source += literal }
    mutating func appendInterpolation(_ text: String) { source += Markup.escaped(text) }
    mutating func appendInterpolation(_ number: Int) { source += "\(number)" }
    /// Coordinates: a tenth of a unit is enough.
    mutating func appendInterpolation(_ number: Double) {
      source += "\((number * 10).rounded() / 10)"
    }
    mutating func appendInterpolation(_ markup: Markup) { source += markup.source }
    mutating func appendInterpolation(_ parts: [Markup]) { for part in parts { source += part.source } }
    mutating func appendInterpolation(_ part: Markup?) { source += part?.source ?? "" }
  }

  init(stringInterpolation: StringInterpolation) { source = stringInterpolation.source }

  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      // No character of XML 1.0.
      case "\0"..<" " where !"\t\r\n".contains(character): result += "\u{fffd}"
      default: result.append(character)
      }
    }
    return result
  }
}
