// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Figures for people: three digits, at most nine columns with their unit, whatever their size.
enum Quantity {
  /// "1.85 M/s", "38.2 Gb/s", "12.4 µs"
  static func text(_ value: Double, unit: String) -> String {
    switch unit {
    case "B/s": scaled(value * 8) + "b/s"
    case "us" where value >= 999.5: scaled(value / 1e6, small: ["m"]) + "s"
    case "us": number(value) + " µs"
    case "ms": text(value * 1000, unit: "us")
    default: scaled(value) + unit.dropFirst(unit == "1/s" ? 1 : 0)
    }
  }

  /// A figure on an axis, which is exact: "8 µs", "0.5×", "2.5 M/s".
  static func tick(_ text: String) -> String {
    let end = text.firstIndex { !$0.isNumber && $0 != "." } ?? text.endIndex
    guard text[..<end].contains(".") else { return text }
    var number = text[..<end]
    while number.last == "0" { number.removeLast() }
    if number.last == "." { number.removeLast() }
    return String(number + text[end...])
  }

  private static func scaled(_ value: Double, small: [String] = []) -> String {
    if value < 1, let prefix = small.first, value > 0 { return number(value * 1000) + " " + prefix }
    var value = value
    for prefix in ["", "k", "M", "G", "T"] {
      if value < 999.5 || prefix == "T" { return number(min(value, 999)) + " " + prefix }
      value /= 1000
    }
    return number(value)
  }

  /// At most four columns: "0.07", "8.20", "15.2", "999", "12k", "9M", ">9G".
  static func number(_ value: Double) -> String {
    guard value >= 0, value.isFinite else { return "?" }
    return switch value {
    case ..<9.995: String(format: "%.2f", value)
    case ..<99.95: String(format: "%.1f", value)
    case ..<999.5: String(format: "%.0f", value)
    case ..<999_500: String(format: "%.0fk", value / 1e3)
    case ..<999_500_000: String(format: "%.0fM", value / 1e6)
    default: ">9G"
    }
  }

  /// As `number`, with as many digits as it takes to tell it from 1.
  static func apartFromOne(_ value: Double) -> String {
    guard value != 1, number(value) == "1.00" else { return number(value) }
    for digits in 3...5 {
      let text = String(format: "%.\(digits)f", value)
      if Double(text) != 1 { return text }
    }
    return value < 1 ? "<1" : ">1"
  }

  /// With room to spare: whole numbers up to 99999, "0.07" … "123" below a thousand.
  static func long(_ value: Double) -> String {
    value >= 999.5 && value < 99_999.5 ? String(format: "%.0f", value) : number(value)
  }

  /// Every digit that a sample has.
  static func plain(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? String(format: "%.0f", value) : "\(value)"
  }

  /// "1", "1000", "100k", "1M": a round number of things.
  static func count(_ count: Int) -> String {
    for (unit, letter) in [(1_000_000, "M"), (1000, "k")] where count >= 10 * unit || count == unit {
      if count % unit == 0 { return "\(count / unit)\(letter)" }
    }
    return "\(count)"
  }

  /// Nanoseconds of a step, which may be less than nothing: "3.1", "128", "−0.4".
  static func nanoseconds(_ value: Double) -> String {
    (value < -0.05 ? "−" : "") + long(value.magnitude)
  }

  /// "64 B", "1400 B", "64 KiB"
  static func size(_ count: Int) -> String {
    count >= 2048 && count % 1024 == 0 ? "\(count / 1024) KiB" : "\(count) B"
  }

  /// "64", "1400", "64 Ki": a size on an axis.
  static func bytes(_ count: Int) -> String {
    count >= 2048 && count % 1024 == 0 ? "\(count / 1024) Ki" : "\(count)"
  }

  static func percent(_ fraction: Double) -> String {
    switch fraction * 100 {
    case 0: "0 %"
    case ..<0.001: "<0.001 %"
    case ..<0.1: String(format: "%.3f %%", fraction * 100)
    case ..<1: String(format: "%.2f %%", fraction * 100)
    default: String(format: "%.1f %%", fraction * 100)
    }
  }
}

extension String {
  /// Cut or filled on the right to exactly `width` characters.
  func left(_ width: Int) -> String {
    count > width ? prefix(width - 1) + "…" : self + String(repeating: " ", count: width - count)
  }
  func right(_ width: Int) -> String {
    count > width ? prefix(width - 1) + "…" : String(repeating: " ", count: width - count) + self
  }

  var withoutTrailingBlanks: String {
    String(reversed().drop { $0 == " " }.reversed())
  }

  /// Lines of at most `width` characters, later ones indented; words longer than a line are cut into pieces.
  func wrapped(_ width: Int, indent: Int = 0) -> [String] {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = ""
    for word in split(whereSeparator: { $0 == " " || $0 == "\n" }) {
      var rest = word
      if !line.isEmpty && line.count + 1 + rest.count <= width {
        line += " " + rest
        continue
      }
      if !line.isEmpty { lines.append(line) }
      line = lines.isEmpty ? "" : margin
      while line.count + rest.count > width {
        let room = width - line.count
        lines.append(line + rest.prefix(room))
        rest = rest.dropFirst(room)
        line = margin
      }
      line += rest
    }
    if !line.isEmpty { lines.append(line) }
    return lines
  }
}
