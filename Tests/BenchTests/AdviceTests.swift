// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Testing

@testable import Bench

struct AdviceTests {
  private static func cell(_ measure: Measure, _ size: Int, _ span: Span = .twoHosts) -> Cell {
    Cell(measure: measure, size: size, offloads: .off, placement: .twoCore, span: span)
  }

  private func question(_ size: Int) -> Question { Question(transport: .tcp, pattern: .stream, size: size) }

  private static let measured: FabricatedResult = {
    var result = FabricatedResult("vxlan", ["bare", "host", "vxlan+tc", "vxlan+xdp"])
    result.add(cell(.tcpStream, 64), ["bare": 4, "host": 4, "vxlan+tc": 2, "vxlan+xdp": 2])
    result.add(cell(.tcpStream, 1024), ["bare": 4, "host": 4, "vxlan+tc": 2, "vxlan+xdp": 0.5])
    result.add(cell(.udpRoundTrip, 64), ["host": 0.5, "vxlan+tc": 1.002, "vxlan+xdp": 1.5])
    return result
  }()
  private let adviser = Adviser(Self.measured.report)

  @Test func ranksWhatWasMeasuredAndSaysWhatSpeaksAgainstIt() throws {
    let advice = try adviser.advise(question(64))
    #expect(advice.reference == "vxlan")
    // No containers, no choice.
    #expect(advice.others.map(\.network) == ["bare"])
    #expect(advice.choices.map(\.network).first == "host")
    #expect(Set(advice.choices.map(\.network)) == ["host", "vxlan+tc", "vxlan+xdp", "vxlan"])
    #expect(abs(advice.choices[0].speed - 4) < 0.1)
    #expect(advice.choices[0].range.contains(4) && !advice.choices[0].range.contains(3))
    let xdp = try #require(advice.choices.first { $0.network == "vxlan+xdp" })
    #expect(
      xdp.drawbacks.contains { $0.contains("slower than vxlan in tcp-stream 1024 B") }, "\(xdp.drawbacks)")
  }

  @Test func isolationAndEncryptionExclude() throws {
    var wanted = question(64)
    wanted.isolation = .high
    let advice = try adviser.advise(wanted)
    #expect(!advice.choices.contains { $0.network == "host" })
    #expect(advice.others.contains { $0.network == "host" && $0.reason.contains("low, not high") })
    // Two tiers that are equally fast are told as such, whichever is first.
    #expect(advice.choices.prefix(2).allSatisfy { $0.isAsGoodAsFirst })
    #expect(AdviceText(advice).headline.contains("no difference to"))
    wanted.needsEncryption = true
    let none = try adviser.advise(wanted)
    #expect(none.choices.isEmpty)
    #expect(AdviceText(none).headline == "Nothing that was measured encrypts")
  }

  @Test func goesBetweenMeasuredSizesAndNeverBeyond() throws {
    var wanted = question(256)
    wanted.isolation = .high
    let advice = try adviser.advise(wanted)
    #expect(advice.basis.contains("between those measured at 64 B, 1024 B"))
    let xdp = try #require(advice.choices.first { $0.network == "vxlan+xdp" })
    // Half way from 2 to 0.5 on logarithmic scales.
    #expect(abs(xdp.speed - 1) < 0.02)
    #expect(advice.choices[0].network == "vxlan+tc")
    for size in [63, 1025] {
      let failure = #expect(throws: Failure.self) { try adviser.advise(question(size)) }
      #expect(failure?.status == .usage)
      #expect(failure?.description.contains("64 B, 1024 B") == true)
    }
    // Nor on one host, of which there is no row.
    var near = question(64)
    near.isOnOneHost = true
    #expect(throws: Failure.self) { try adviser.advise(near) }
  }

  @Test func saysNoDifferenceWhereThereIsNone() throws {
    var wanted = Question(transport: .udp, pattern: .rr, size: 64)
    wanted.isolation = .high
    let advice = try adviser.advise(wanted)
    #expect(AdviceText(advice).headline.hasPrefix("Stay with vxlan"), "\(AdviceText(advice).headline)")
    #expect(advice.choices.first { $0.network == "vxlan+tc" }?.isNoGain == true)
    for line in AdviceText(advice).text.split(separator: "\n") { #expect(line.count <= 80) }
  }

  @Test func tooFewPairsRecommendNothing() throws {
    var result = FabricatedResult("vxlan", ["vxlan+tc"])
    result.add(Self.cell(.tcpStream, 64), ["vxlan+tc": 3], pairs: 5)
    let advice = try Adviser(result.report).advise(question(64))
    #expect(advice.choices.map(\.network) == ["vxlan"])
    #expect(advice.others.contains { $0.network == "vxlan+tc" && $0.reason.contains("6 pairs") })
  }

  @Test func verifyHoldsOutSizesAndTrials() throws {
    var result = FabricatedResult("vxlan", ["vxlan+tc", "vxlan+xdp"])
    // In the middle another is best than its neighbours let expect.
    for (size, tc, xdp) in [(64, 2.0, 1.0), (256, 1.0, 2.0), (1024, 2.0, 1.0), (4096, 2.0, 1.0)] {
      result.add(Self.cell(.tcpStream, size), ["vxlan+tc": tc, "vxlan+xdp": xdp])
    }
    let check = Adviser(result.report).verify()
    #expect((check.sizes.asked, check.sizes.near) == (2, 1))
    #expect(check.sizes.misses.map(\.picked) == ["vxlan+tc"])
    #expect(abs(try #require(check.sizes.misses.first).speed - 0.5) < 0.02)
    #expect((check.trials.asked, check.trials.near) == (4, 4))
  }
}
