// SPDX-License-Identifier: Apache-2.0
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

  @Test func sharesAreOfWhatCameIn() {
    let text = StatsTable(stats(75, passed: 25)).text
    #expect(text.contains("75.0 %") && text.contains("25.0 %") && !text.contains("/s"))
  }

  @Test func ratesAndSharesAreSinceTheEarlierReading() {
    let text = StatsTable(stats(3075, passed: 1025), before: stats(75, passed: 25), seconds: 2).text
    #expect(text.contains("1.50 k/s") && text.contains("1.20 Mb/s") && text.contains("75.0 %"))
  }

  /// A port that came again counts from nothing: never a rate below zero.
  @Test func countersThatBeganAgainAreCountedFromThere() {
    let text = StatsTable(stats(10, passed: 0), before: stats(75, passed: 25), seconds: 1).text
    #expect(text.contains("10 /s") && !text.contains("-"))
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
