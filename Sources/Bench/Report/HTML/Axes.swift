// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A drawing of fixed units that scales with the page, and where values lie in it.
struct Axes {
  var title: String
  var description: String
  var x: ClosedRange<Double>
  var y: ClosedRange<Double>

  static let width = 600.0
  static let height = 230.0
  private let left = 58.0
  private let right = 124.0
  private let top = 12.0
  private let bottom = 30.0

  func px(_ value: Double) -> Double {
    let part = x.upperBound > x.lowerBound ? (value - x.lowerBound) / (x.upperBound - x.lowerBound) : 0.5
    return left + part * (Self.width - left - right)
  }

  func py(_ value: Double) -> Double {
    let part = y.upperBound > y.lowerBound ? (value - y.lowerBound) / (y.upperBound - y.lowerBound) : 0.5
    return Self.height - bottom - part * (Self.height - top - bottom)
  }

  func draw(xTicks: [(Double, String)], yTicks: [(Double, String)], _ content: [Markup]) -> Markup {
    let across = yTicks.map { tick -> Markup in
      """
      <line class="grid" x1="\(left)" x2="\(Self.width - right)" y1="\(py(tick.0))" y2="\(py(tick.0))"/>\
      <text x="\(left - 6)" y="\(py(tick.0) + 4)" text-anchor="end">\(tick.1)</text>
      """
    }
    let along = xTicks.map { tick -> Markup in
      "<text x=\"\(px(tick.0))\" y=\"\(Self.height - 10)\" text-anchor=\"middle\">\(tick.1)</text>"
    }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img">\
      <title>\(title)</title><desc>\(description)</desc>\(across)\(along)\(content)</svg>

      """
  }

  func curve(_ points: [(Double, Double)], _ style: String) -> Markup {
    let path = points.map { "\(Self.short(px($0.0))),\(Self.short(py($0.1)))" }.joined(separator: " ")
    return "<polyline class=\"curve \(style)\" points=\"\(path)\"/>"
  }

  /// A curve with a dot at each of its points.
  func dottedCurve(_ points: [(Double, Double)], _ style: String) -> [Markup] {
    [curve(points, style)]
      + points.map { "<circle class=\"dot \(style)\" cx=\"\(px($0.0))\" cy=\"\(py($0.1))\" r=\"2.6\"/>" }
  }

  /// Names at the ends of curves, moved apart where they would cover each other, and up where they would
  /// leave the drawing; a line leads from the curve's end, at `xs`, to a name that is not beside it.
  func names(_ curves: [(name: String, style: String, y: Double)], at xs: [Double]? = nil) -> [Markup] {
    let ends = curves.enumerated().map { (name: $0.element.name, style: $0.element.style, y: $0.element.y, x: xs?[$0.offset] ?? x.upperBound) }
      .sorted { py($0.y) < py($1.y) }
    let lowest = Self.height - bottom + 4
    let distance = min(14, (lowest - top) / Double(max(1, ends.count - 1)))
    var places: [Double] = []
    for end in ends { places.append(max(py(end.y) + 4, (places.last ?? -.infinity) + distance)) }
    var limit = lowest
    for index in places.indices.reversed() {
      places[index] = min(places[index], limit)
      limit = places[index] - distance
    }
    return zip(ends, places).map { end, y -> Markup in
      // A label that was moved is led to its curve.
      let leader: Markup? =
        abs(y - 4 - py(end.y)) < 3 && px(end.x) > Self.width - right - 3
        ? nil
        : """
        <line class="leader \(end.style)" x1="\(Self.short(px(end.x)))" y1="\(Self.short(py(end.y)))" \
        x2="\(Self.width - right + 10)" y2="\(Self.short(y - 4))"/>
        """
      return """
        \(leader)<text class="name \(end.style)" x="\(Self.width - right + 12)" y="\(Self.short(y))">\(end.name)</text>
        """
    }
  }

  private static func short(_ value: Double) -> String { String(format: "%.1f", value) }

  /// Round values, at most seven where decades allow it, from the last at or below `least` to the first at or above `most`.
  static func logTicks(_ least: Double, _ most: Double) -> [Double] {
    let decades = Int(log10(least).rounded(.down))...max(Int(log10(least).rounded(.down)), Int(log10(most).rounded(.up)))
    let sets: [[Double]] = [[1, 2, 5], [1, 3], [1]]
    let scales = sets.map { steps -> [Double] in
      let all = decades.flatMap { decade in steps.map { $0 * pow(10, Double(decade)) } }
      let first = all.lastIndex { $0 <= least * 1.0001 } ?? 0
      let last = all.firstIndex { $0 >= most * 0.9999 } ?? all.count - 1
      return Array(all[first...max(first, last)])
    }
    let ticks = scales.first { $0.count <= 7 } ?? scales.last!
    return ticks.count > 1 ? ticks : [ticks[0], ticks[0] * 10]
  }

  /// Round values, three to six of them, that cover 0 … `most`.
  static func ticks(upTo most: Double) -> [Double] {
    guard most > 0 else { return [0] }
    let power = pow(10, (log10(most)).rounded(.down))
    let step = [0.2, 0.5, 1, 2].map { $0 * power }.first { most / $0 <= 5.5 } ?? power
    return stride(from: 0, through: most * 1.0001, by: step).map { $0 }
  }
}
