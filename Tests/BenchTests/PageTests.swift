// SPDX-License-Identifier: Apache-2.0
import Foundation
import FoundationXML
import LinuxSystem
import TestSupport
import Testing

@testable import Bench

extension ABReport {
  /// Rows of every kind: several sizes, a latency with its distribution, a row that failed.
  static func varied(_ failed: String? = nil) -> ABReport {
    var report = sample()
    let cells =
      [64, 512, 1400].map { Cell(measure: .udpStream, size: $0, offloads: .on, placement: .twoCore) }
      + [64, 1400].map { Cell(measure: .udpRoundTrip, size: $0, offloads: .on, placement: .oneCore) }
      + [Cell(measure: .packetRate(.encap), size: 64, offloads: .on, placement: .oneCore)]
    for (index, cell) in cells.enumerated() {
      let part = extreme(1.5 + Double(index), cell, failed: index == 2 ? failed : nil)
      report.results += part.results
      report.comparisons += part.comparisons
      report.noiseFloor += part.noiseFloor
    }
    for index in report.results.indices where report.results[index].latencyUs != nil {
      report.results[index].latencyDistribution = [[0, 9], [50, 12.5], [90, 20], [99, 80], [100, 400]]
    }
    return report
  }
}

/// What a page consists of, read by an XML parser of its own.
final class Outline: NSObject, XMLParserDelegate {
  var elements: [String: Int] = [:]
  var text = ""
  var addresses: [String] = []
  var failure: (any Error)?

  init(_ page: Data) {
    super.init()
    let parser = XMLParser(data: page)
    parser.delegate = self
    _ = parser.parse()
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    elements[name, default: 0] += 1
    addresses += ["src", "href", "data", "action", "srcset", "poster"].compactMap { attributes[$0] }
  }
  func parser(_ parser: XMLParser, foundCharacters characters: String) { text += characters }
  func parser(_ parser: XMLParser, parseErrorOccurred error: any Error) { failure = error }
}

struct PageTests {
  @Test(arguments: [nil, "a <b> & \"c\" 'd' \u{1}\u{1b}[31m |e|\nf"])
  func isWellFormedWhateverTheWordsAre(failed: String?) throws {
    let outline = Outline(try ABPage(.varied(failed)).encoded())
    #expect(outline.failure == nil)
    for words in [
      "vxlan+xdp", "udp-stream", "udp-rr p50", "packet-rate:encap", "too few pairs", "Every sample",
    ] {
      #expect(outline.text.contains(words), "\(words)")
    }
    if failed != nil { #expect(outline.text.contains("a <b> & \"c\" 'd' \u{fffd}\u{fffd}[31m |e|")) }
    // Two latency rows, one group of sizes.
    #expect(outline.elements["svg"] == 3)
    #expect(outline.elements["script"] == nil)
  }

  @Test func needsNothingElse() throws {
    let page = try ABPage(.varied()).encoded()
    let outline = Outline(page)
    #expect(!outline.addresses.isEmpty)
    for address in outline.addresses { #expect(address.hasPrefix("data:"), "\(address)") }
    let source = String(decoding: page, as: UTF8.self)
      .replacing("http://www.w3.org/1999/xhtml", with: "").replacing("http://www.w3.org/2000/svg", with: "")
    for word in ["http:", "https:", "url(", "@import"] { #expect(!source.contains(word), "\(word)") }
  }

  @Test func carriesTheResultItself() throws {
    let report = ABReport.varied()
    let outline = Outline(try ABPage(report).encoded())
    let link = try #require(outline.addresses.first { $0.hasPrefix("data:application/json;base64,") })
    let json = try #require(Data(base64Encoded: String(link.drop { $0 != "," }.dropFirst())))
    #expect(try ABReport.decoded(json) == report)
  }

  @Test func saysWhatWeakensIt() throws {
    var report = ABReport.varied()
    #expect(try ABPage(report).html().contains("Interrupted"))
    report.complete = true
    #expect(try !ABPage(report).html().contains("Interrupted"))
    report.environment.debugBuild = true
    #expect(try ABPage(report).html().contains("Debug build"))
  }

  @Test func markdownHasARowForEachAndNoStrayBars() {
    let report = ABReport.varied("a | b\nc <d>")
    let lines = ABMarkdown(report).text.split(separator: "\n").filter { $0.hasPrefix("|") }
    #expect(lines.count == 2 + 6)
    for line in lines { #expect(line.replacing("\\|", with: "").count { $0 == "|" } == 9, "\(line)") }
    // And what the table has beside its rows.
    let text = ABMarkdown(report).text
    for words in [
      "Round trips, µs", "Noise floor, vxlan against itself", "CPU ns per packet", "Pairs dropped",
      "INTERRUPTED",
      "raw frames", "lost 100.0 %", "`vxlan+xdp`: 0 better",
    ] {
      #expect(text.contains(words), "\(words)")
    }
    #expect(lines.contains { $0.contains("failed: a \\| b c &lt;d>") })
  }
}

/// The page as a browser lays it out, without a network.
@Suite(.serialized, .enabled(if: mayUseKernel, "\(needsRoot)"))
struct BrowserTests {
  private struct Layout: Decodable {
    var overflow: Int
    var requests: Int
    var curves: Int
    var bars: Int
    var inkIsDark: Bool
    var covered: Int
  }

  /// What a reader would see, as figures: whether it is wider than the window, what it asked of a network, curves
  /// and bars with an extent, the ink's brightness, labels of a drawing that cover each other
  /// or are cut.
  private static let probe = """
    <script>addEventListener('load', () => {
      const boxes = a => [...document.querySelectorAll(a)].map(e => e.getBoundingClientRect());
      const covered = [...document.querySelectorAll('svg')].flatMap(svg => {
        const texts = [...svg.querySelectorAll('text')].map(e => e.getBoundingClientRect());
        return texts.filter((a, i) => texts.some((b, j) => j > i && a.left < b.right - 1 && b.left < a.right - 1
          && a.top < b.bottom - 4 && b.top < a.bottom - 4)
          || a.right > svg.getBoundingClientRect().right);
      }).length;
      const ink = getComputedStyle(document.body).color.match(/\\d+/g).map(Number);
      document.documentElement.setAttribute('data-seen', JSON.stringify({
        overflow: Math.max(0, document.documentElement.scrollWidth - innerWidth),
        requests: performance.getEntriesByType('resource').length,
        curves: boxes('.curve').filter(b => b.width > 50).length,
        bars: boxes('.bar').filter(b => b.width > 0 && b.height > 8).length,
        inkIsDark: ink[0] + ink[1] + ink[2] < 300, covered}));
    })</script></body>
    """

  @Test(arguments: [1280, 500], [false, true])
  func isReadable(width: Int, dark: Bool) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-page-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let page = folder.appendingPathComponent("page.html")
    try ABPage(.varied()).html().replacing("</body>", with: Self.probe)
      .write(to: page, atomically: true, encoding: .utf8)
    let seen = try shell(
      [
        "unshare", "--net", "timeout", "60", "chromium", "--headless", "--no-sandbox", "--disable-gpu",
        "--user-data-dir=\(folder.path)/profile", "--window-size=\(width),900", "--virtual-time-budget=2000",
      ]
        + (dark ? ["--blink-settings=preferredColorScheme=0"] : []) + ["--dump-dom", "file://\(page.path)"])
    let attribute = try #require(seen.firstMatch(of: /data-seen="([^"]*)"/)?.1)
    let layout = try JSONDecoder().decode(
      Layout.self, from: Data(attribute.replacing("&quot;", with: "\"").utf8))
    #expect(layout.overflow == 0)
    #expect(layout.requests == 0)
    #expect(layout.curves == 6)
    #expect(layout.bars == 12)
    #expect(layout.inkIsDark == !dark)
    #expect(layout.covered == 0)
  }
}
