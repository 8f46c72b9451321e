// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Commands
@testable import FastPath

/// What `status` and `stats` say, from made-up answers.
struct WordsTests {
  private func stats(_ packets: UInt64, passed: UInt64) -> Stats {
    let port = Stats.Port(
      name: "va1", index: 2, tier: "tc", received: .init(packets: packets + passed, bytes: 100 * packets),
      forwarded: ["encapsulated": .init(packets: packets, bytes: 100 * packets)],
      passed: ["multicast": .init(packets: passed, bytes: 0)], dropped: [:])
    return Stats(overlay: "br0", namespace: "ns", ports: [port])
  }

  private func two(_ packets: UInt64, passed: UInt64, more: [String: Stats.Count] = [:]) -> Stats {
    var both = stats(packets, passed: passed)
    both.ports[0].passed.merge(more) { $1 }
    both.ports[0].received.packets += more.values.reduce(0) { $0 + $1.packets }
    var other = stats(packets, passed: 0).ports[0]
    (other.name, other.index) = ("eth0", 3)
    both.ports.append(other)
    return both
  }

  @Test func sharesAreOfWhatCameIn() {
    let text = StatsTable(stats(75, passed: 25)).text
    #expect(text.contains("75.0 %") && text.contains("25.0 %") && !text.contains("/s"))
    #expect(!text.contains("all ports"), "there is one")
  }

  @Test func theTotalSaysWhatPartWasForwarded() {
    let lines = StatsTable(two(75, passed: 25)).text.split(separator: "\n")
    #expect(lines.contains { $0.hasPrefix("  va1 in ") && $0.hasSuffix("75.0 % forwarded") })
    #expect(lines.contains { $0.hasPrefix("  all ports in ") && $0.contains(" 175 ") && $0.hasSuffix("85.7 % forwarded") })
  }

  @Test func ratesAndSharesAreSinceTheEarlierReading() {
    var watch = StatsWatch()
    #expect(!watch.text(stats(75, passed: 25), seconds: nil).contains("/s"))
    let text = watch.text(stats(3075, passed: 1025), seconds: 2)
    #expect(text.contains("1.50 k/s") && text.contains("1.20 Mb/s") && text.contains("75.0 % forwarded"))
    for line in text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
  }

  /// A reason that occurs for the first time comes last, and moves no line.
  @Test func aNewReasonMovesNoRow() {
    var watch = StatsWatch()
    let first = watch.text(two(75, passed: 25), seconds: nil).split(separator: "\n").map { $0.prefix(30) }
    let then = watch.text(two(75, passed: 25, more: ["arp": .init(packets: 5)]), seconds: 1).split(separator: "\n")
    #expect(then.count == first.count + 1)
    #expect(then.dropLast().map { $0.prefix(30) } == first)
    #expect(then.last?.contains("va1 passed arp") == true)
  }

  /// A port that came again counts from nothing: never a rate below zero.
  @Test func countersThatBeganAgainAreCountedFromThere() {
    var watch = StatsWatch()
    _ = watch.text(stats(75, passed: 25), seconds: nil)
    let text = watch.text(stats(10, passed: 0), seconds: 1)
    #expect(text.contains("10 /s") && !text.contains("-"))
  }

  @Test func linesOfJSONHaveRates() throws {
    let rated = stats(3075, passed: 1025).rated(since: stats(75, passed: 25), seconds: 2)
    let json = String(decoding: try JSONEncoder().encode(rated), as: UTF8.self)
    #expect(json.contains("\"packets_per_second\":1500") && json.contains("\"bits_per_second\":1200000"))
    let first = stats(3075, passed: 1025).rated(since: nil, seconds: nil)
    #expect(!String(decoding: try JSONEncoder().encode(first), as: UTF8.self).contains("per_second"))
  }

  /// What is unknown of one that died is not there, instead of empty.
  @Test func whatIsUnknownIsNotInTheJSON() throws {
    let dead = Status.known(pid: 7, state: "dead", overlay: "br0", namespace: "ns")
    let data = try JSONEncoder().encode(dead)
    let json = String(decoding: data, as: UTF8.self)
    for key in ["vxlan", "vni", "uplink", "tier", "mode"] { #expect(!json.contains("\"\(key)\""), "\(key)") }
    #expect(!json.contains("\"\"") && json.contains("\"overlay\":\"br0\""))
    #expect(try JSONDecoder().decode(Status.self, from: data).vxlan == "")
    var known = dead
    (known.vxlan, known.vni, known.tier) = ("vx0", 42, "tc")
    let again = try JSONDecoder().decode(Status.self, from: JSONEncoder().encode(known))
    #expect((again.vxlan, again.vni, again.tier, again.mode) == ("vx0", 42, "tc", ""))
  }

  @Test func usageErrorsHaveOneForm() {
    #expect(Culvert.usageError("--wait foo: no.\nThere are:\n  - busy", next: "culvert up --help")
      == "error: --wait foo: no.\n  There are:\n  - busy\n  See `culvert up --help`.")
    #expect(Culvert.help(for: ["lab", "up", "vxlan+foo", "--mtu", "1"]) == "culvert lab up --help")
    #expect(Culvert.help(for: ["cost", "--parts", "foo"]) == "culvert cost --help")
    #expect(Culvert.help(for: ["stat"]) == "culvert --help")
  }

  @Test(arguments: [
    (0, "0 /s"), (999, "999 /s"), (1000, "1.00 k/s"), (98_700, "98.7 k/s"), (4_200_000, "4.20 M/s"),
  ])
  func scaled(value: Double, text: String) { #expect(StatsTable.scaled(value, "/s") == text) }

  @Test(arguments: [(nil, nil), ("zero", "zero outer checksum"), ("kernel", "left to the kernel")] as [(String?, String?)])
  func statusSaysWhatSegmentsLeaveWith(checksum: String?, words: String?) {
    var status = Status.known(pid: 1, state: "ready", overlay: "br0", namespace: "ns")
    status.segmentChecksum = checksum
    let lines = StatusCommand.render(status).split(separator: "\n").filter { $0.contains("TCP segments") }
    #expect(lines.count == (words == nil ? 0 : 1) && lines.allSatisfy { $0.contains(words ?? "") }, "\(lines)")
  }

  @Test func numbersAndTheirNouns() {
    #expect(counted(1, "entry", "entries") == "1 entry")
    #expect(counted(0, "entry", "entries") == "0 entries")
  }

  @Test func anUnknownCommandIsToldWhatIsLikeIt() {
    #expect(Culvert.unknownCommand(["stat"])?.hasSuffix("Did you mean status or stats?") == true)
    #expect(Culvert.unknownCommand(["nothing"])?.contains("There are: up, down, ") == true)
    for known in [["status"], ["help", "up"], ["--version"], []] { #expect(Culvert.unknownCommand(known) == nil) }
  }
}
