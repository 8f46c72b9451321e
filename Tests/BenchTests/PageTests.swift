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
  /// What an address within the page can lead to.
  var names: Set<String> = []
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
    if let name = attributes["id"] { names.insert(name) }
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
    for address in outline.addresses {
      #expect(address.hasPrefix("data:") || outline.names.contains(String(address.dropFirst())), "\(address)")
    }
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

  /// The result is the first thing that is read, and what it is about can be looked up in the page.
  @Test func theTitleIsTheResult() throws {
    var report = ABReport.varied()
    #expect(report.sentence == "vxlan+xdp against vxlan: too few pairs for a result")
    for index in report.comparisons.indices { report.comparisons[index].pairs = 6 }
    (report.comparisons[0].ratio, report.comparisons[1].ratio) = (0.4, 9)
    let latency = try #require(report.comparisons.firstIndex { $0.better == .lower })
    for index in report.comparisons.indices.dropFirst(2) { report.comparisons[index].ratio = 1 }
    #expect(report.sentence == "vxlan+xdp is 0.40 to 9.00 times as fast as vxlan, row by row")
    // A round trip of a twentieth of the time.
    report.comparisons[latency].ratio = 0.05
    #expect(report.sentence.contains("0.40 to 20.0 times"))
    let page = try ABPage(report).html()
    #expect(page.contains("<h1>vxlan+xdp is 0.40 to 20.0 times as fast as vxlan, row by row</h1>"))
    #expect(page.contains("<b>20.0×</b>"), "the summary has speeds")
    #expect(!page.contains("weakest row"))
    for network in ["vxlan", "vxlan-xdp"] {
      #expect(page.contains("href=\"#network-\(network)\"") && page.contains("id=\"network-\(network)\""))
    }
  }

  /// A slow round trip has no longer bar than a fast one has: both are drawn from the baseline's, to either side.
  @Test func latencyIsDrawnFromTheBaselines() throws {
    let cell = Cell(measure: .udpRoundTrip, size: 64, offloads: .on, placement: .oneCore)
    var report = ABReport.extreme(1, cell)
    func bar(_ ratio: Double) throws -> (left: Double, width: Double) {
      report.comparisons[0].ratio = ratio
      report.comparisons[0].ci95 = [0.5, 2]
      let source = RatioBars(page: ABPage(report), row: cell.row).markup.source
      let match = try #require(source.firstMatch(of: /bar n0" style="left:([0-9.]+)%;width:([0-9.]+)%/))
      return (try #require(Double(match.1)), try #require(Double(match.2)))
    }
    let (fast, slow) = (try bar(0.6), try bar(1.4))
    #expect(abs(fast.left + fast.width - slow.left) < 0.2, "one ends where the other begins")
    #expect(abs(fast.width - slow.width) < 0.2)
    #expect(try bar(1).width == 0)
  }

  /// Red is for what is worse: neither a machine that was not quiet nor a run that was cut short is.
  @Test func warningsAreNotRed() {
    let rule = PageStyle.sheet.split(separator: "}").first { $0.contains(".warn{") }
    #expect(rule?.contains("--base") == true && rule?.contains("--bad") == false)
  }

  @Test(arguments: [
    ("8.00 µs", "8 µs"), ("0.50×", "0.5×"), ("16.0 µs", "16 µs"), ("0.00 ns", "0 ns"), ("200 k/s", "200 k/s"), ("2.50 M/s", "2.5 M/s"),
  ])
  func anAxisIsExact(text: String, tick: String) { #expect(Quantity.tick(text) == tick) }

  @Test(arguments: [
    (12, 480, [10, 20, 50, 100, 200, 500]), (4, 5100, [1, 10, 100, 1000, 10_000]), (7, 7, [5, 10]), (0.02, 90_000, []),
  ])
  func logarithmicScalesHaveRoundValues(least: Double, most: Double, ticks: [Double]) {
    let made = Axes.logTicks(least, most)
    #expect(made.first! <= least && made.last! >= most && made.count > 1)
    if !ticks.isEmpty { #expect(zip(made, ticks).allSatisfy { abs($0 - $1) < 1e-6 * $1 } && made.count == ticks.count) }
    for tick in made { #expect(["1", "2", "3", "5"].contains(String(format: "%.0e", tick).prefix(1))) }
  }

  /// The page says of a network what the documents say.
  @Test func networksAreExplainedAsInTheDocuments() throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let text = try String(contentsOf: folder.appendingPathComponent("docs/measuring.md"), encoding: .utf8)
      .replacing("`", with: "")
    for (network, explanation) in Network.kernelExplanations {
      #expect(text.contains("| \(network) | \(explanation)"), "\(network)")
    }
    for (tier, explanation) in Network.tierExplanations {
      #expect(text.contains("| vxlan+\(tier) | \(explanation)"), "\(tier)")
    }
    for name in Network.bases { #expect(Network.kernelExplanations[name] != nil, "\(name)") }
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
    var cells: Int
    var inkIsDark: Bool
    var covered: Int
  }

  /// What a reader would see, as figures: whether it is wider than the window, what it asked of a network, curves,
  /// bars and cells of the summary with an extent, the ink's brightness, labels of a drawing that cover each other
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
        cells: boxes('.heat td').filter(b => b.width > 20 && b.height > 8).length,
        inkIsDark: ink[0] + ink[1] + ink[2] < 300, covered}));
    })</script></body>
    """

  private func layout(of html: String, width: Int, dark: Bool) throws -> Layout {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("culvert-page-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let page = folder.appendingPathComponent("page.html")
    try html.replacing("</body>", with: Self.probe).write(to: page, atomically: true, encoding: .utf8)
    let seen = try shell(
      [
        "unshare", "--net", "timeout", "60", "chromium", "--headless", "--no-sandbox", "--disable-gpu",
        "--user-data-dir=\(folder.path)/profile", "--window-size=\(width),900", "--virtual-time-budget=2000",
      ]
        + (dark ? ["--blink-settings=preferredColorScheme=0"] : []) + ["--dump-dom", "file://\(page.path)"])
    let attribute = try #require(seen.firstMatch(of: /data-seen="([^"]*)"/)?.1)
    return try JSONDecoder().decode(Layout.self, from: Data(attribute.replacing("&quot;", with: "\"").utf8))
  }

  @Test(arguments: [1280, 500], [false, true])
  func isReadable(width: Int, dark: Bool) throws {
    var report = ABReport.varied()
    for index in report.comparisons.indices { report.comparisons[index].ratio = index % 2 == 0 ? 0.5 : 2 }
    let layout = try layout(of: ABPage(report).html(), width: width, dark: dark)
    #expect(layout.overflow == 0)
    #expect(layout.requests == 0)
    #expect(layout.curves == 6)
    // A network's in six rows, and the baseline's in the four of them that are no latencies.
    #expect(layout.bars == 10)
    // Every row and network, on a phone too.
    #expect(layout.cells == 6)
    #expect(layout.inkIsDark == !dark)
    #expect(layout.covered == 0)
  }

  @Test(arguments: [1280, 500])
  func costsAreReadable(width: Int) throws {
    let layout = try layout(of: CostPage(.sample()).html(), width: width, dark: false)
    #expect(layout.overflow == 0)
    #expect(layout.requests == 0)
    #expect(layout.curves > 3)
    #expect(layout.bars > 6)
    #expect(layout.covered == 0)
  }
}
