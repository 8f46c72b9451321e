// SPDX-License-Identifier: Apache-2.0
import Glibc
import PacketHeaders
import Testing

@testable import FastPath
@testable import Netlink

@Suite struct RouteFollowingTests {
  let vtep = IPAddress("198.18.1.2")!
  var key: RouteKey { RouteKey(remote: vtep, port: 4789, outInterface: 0) }
  let pause = RouteFollowing.pause

  func route(_ text: String, _ prefix: UInt8) -> RoutingChange {
    .route(to: IPAddress(text)!, prefix: prefix)
  }

  @Test(
    arguments: [
      ("198.18.1.2", 32, true), ("198.18.1.3", 32, false), ("198.18.1.0", 24, true),
      ("198.18.2.0", 24, false),
      ("198.18.0.0", 15, true), ("0.0.0.0", 0, true), ("128.0.0.0", 1, true), ("0.0.0.0", 1, false),
    ] as [(String, UInt8, Bool)])
  func onlyWhatAPrefixCoversIsConcerned(network: String, prefix: UInt8, concerned: Bool) {
    var following = RouteFollowing()
    following.note(route(network, prefix))
    #expect(following.begin(now: 0).concern(key) == concerned)
  }

  @Test func everythingConcernsAll() {
    var following = RouteFollowing()
    following.note(.everything)
    #expect(following.begin(now: 0).concern(key))
    #expect(!following.begin(now: 0).concern(key), "a round takes what there is")
  }

  @Test func theFirstChangeIsDueAtOnceTheNextAfterAPause() {
    var following = RouteFollowing()
    #expect(following.due == nil)
    following.note(.everything)
    #expect(following.due! <= 1000)
    _ = following.begin(now: 1000)
    following.end(start: 1000, now: 2000)
    #expect(following.due == nil)
    following.note(.everything)
    #expect(following.due == 2000 + pause)
  }

  @Test func aRoundThatTakesLongIsFollowedByALongerPause() {
    var following = RouteFollowing()
    following.end(start: 0, now: pause)
    following.note(.everything)
    #expect(following.due == pause + 4 * pause)
  }

  @Test func whatICMPSpokeOfIsAskedForTwice() {
    var following = RouteFollowing()
    following.note(vtep, now: 1000)
    #expect(following.due! <= 1000)
    #expect(following.begin(now: 1000).concern(key))
    #expect(following.due == 1000 + pause)
    #expect(following.begin(now: 999 + pause).isEmpty)
    #expect(following.begin(now: 1000 + pause).concern(key))
    #expect(following.due == nil)
  }

  @Test func routesOfIPv6ConcernWhatTheyCover() {
    var following = RouteFollowing()
    following.note(.route(to: IPAddress("2001:2:0:1::")!, prefix: 64))
    let changes = following.begin(now: 0)
    #expect(changes.concern(IPAddress("2001:2:0:1:ff::1")!))
    for other in ["2001:2:0:2::1", "32.1.0.2"] { #expect(!changes.concern(IPAddress(other)!)) }
    following.note(.route(to: IPAddress("2001:2:0:1::80")!, prefix: 121))
    let narrow = following.begin(now: 0)
    #expect(narrow.concern(IPAddress("2001:2:0:1::ff")!) && !narrow.concern(IPAddress("2001:2:0:1::7f")!))
    following.note(.route(to: IPAddress("::")!, prefix: 0))
    #expect(following.begin(now: 0).concern(IPAddress("2001:2::1")!))
  }

  /// 198.18.0.0
  private let network16: UInt32 = 198 << 24 | 18 << 16

  /// 20,000 changes a second about 2,000 VTEPs, by a clock of the test's own: asking for a route takes 20 µs.
  @Test(
    arguments: [
      ("198.51.100.0", 24, 0), ("198.18.5.7", 32, 1), ("198.18.5.0", 24, 256), ("0.0.0.0", 0, 2000),
    ] as [(String, UInt8, Int)])
  func aStormIsAnsweredWithinAFifthOfTheTime(network: String, prefix: UInt8, concerned: Int) {
    let keys = (0..<2000 as Range<UInt32>).map {
      RouteKey(remote: .v4(IPv4Address(value: network16 + $0)), port: 4789, outInterface: 0)
    }
    let (change, end) = (route(network, prefix), 2_000_000_000 as UInt64)
    var following = RouteFollowing()
    var (now, rounds, asked) = (0 as UInt64, 0, 0)
    while now < end {
      following.note(change)
      if following.due! <= now {
        let changes = following.begin(now: now)
        let count = keys.count { changes.concern($0) }
        #expect(count == concerned)
        let start = now
        now += UInt64(count) * 20_000
        following.end(start: start, now: now)
        asked += count
        rounds += 1
      }
      now += 50_000
    }
    #expect(rounds > 5 && UInt64(rounds) <= end / pause + 1)
    #expect(asked * 20_000 * 5 <= Int(end) + concerned * 20_000 * 5)
  }

  @Test func samplesCoverEveryRouteAndWhatWasLearnedEachTime() {
    let keys = (0..<200 as Range<UInt32>).map {
      RouteKey(remote: .v4(IPv4Address(value: network16 + $0)), port: 4789, outInterface: 0)
    }
    var following = RouteFollowing()
    var seen: Set<RouteKey> = []
    for _ in 0..<4 {
      let sample = following.sample(50, of: keys) { $0 == keys[7] }
      #expect(sample.contains(keys[7]) && sample.count <= 51)
      seen.formUnion(sample)
    }
    #expect(seen.count == 200)
    #expect(following.sample(50, of: []) { _ in true }.isEmpty)
  }
}

@Suite struct PacingTests {
  @Test func aPauseIsFourTimesTheWorkWithinBounds() {
    var pacing = Pacing(shortest: 100, longest: 1000)
    for (work, pause) in [(1, 100), (100, 400), (10_000, 1000)] as [(UInt64, UInt64)] {
      let start = pacing.notBefore
      pacing.worked(from: start, to: start + work)
      #expect(pacing.notBefore == start + work + pause)
    }
  }

  @Test func onlyAStormUsesUpTheAllowance() {
    var pacing = Pacing(allowance: 100)
    var now: UInt64 = 1000
    for _ in 0..<1000 {
      pacing.worked(from: now, to: now + 10)
      #expect(pacing.notBefore == now + 10)
      now += 50
    }
    var pauses: [UInt64] = []
    for _ in 0..<6 {
      pacing.worked(from: now, to: now + 10)
      pauses.append(pacing.notBefore - now - 10)
      now = pacing.notBefore
    }
    #expect(pauses == [0, 0, 20, 40, 40, 40])
  }
}

@Suite struct ErrorMonitorTests {
  /// IPv4, ICMP, and the packet that it speaks of: IPv4, UDP.
  func error(type: UInt8 = 3, protocolNumber: UInt8 = 17, port: UInt16 = 4789, options: Int = 0) -> [UInt8] {
    func ip(_ number: UInt8, _ destination: [UInt8]) -> [UInt8] {
      [0x45 + UInt8(options / 4), 0, 0, 0, 0, 0, 0, 0, 64, number, 0, 0, 198, 18, 0, 1] + destination
        + [UInt8](repeating: 0, count: options)
    }
    return ip(1, [198, 18, 0, 1]) + [type, 4, 0, 0, 0, 0, 5, 0x14] + ip(protocolNumber, [198, 18, 0, 2])
      + [200, 0, UInt8(port >> 8), UInt8(port & 255), 0, 0, 0, 0]
  }

  @Test func theDestinationOfTheQuotedPacketIsFound() {
    let vtep = IPv4Address("198.18.0.2")
    #expect(ErrorMonitor.destination(in: error()[...], port: 4789) == vtep)
    #expect(ErrorMonitor.destination(in: error(type: 5)[...], port: 4789) == vtep)
    #expect(ErrorMonitor.destination(in: error(options: 8)[...], port: 4789) == vtep)
    #expect(ErrorMonitor.destination(in: error(port: 53)[...], port: 4789) == nil)
    #expect(ErrorMonitor.destination(in: error(protocolNumber: 6)[...], port: 4789) == nil)
    #expect(ErrorMonitor.destination(in: error(type: 0)[...], port: 4789) == nil)
  }

  /// ICMPv6 as a raw socket gives it: no header of its own, then the packet that it speaks of.
  func error6(type: UInt8 = 2, protocolNumber: UInt8 = 17, port: UInt16 = 4789) -> [UInt8] {
    let address: [UInt8] = [0x20, 1, 0, 2, 0, 0, 0, 1] + [UInt8](repeating: 0, count: 7)
    let quoted = [0x60, 0, 0, 0, 0, 16, protocolNumber, 64] + address + [1] + address + [2]
    return [type, 0, 0, 0, 0, 0, 5, 0x14] + quoted + [200, 0, UInt8(port >> 8), UInt8(port & 255), 0, 0, 0, 0]
  }

  @Test func theDestinationOfTheQuotedPacketIsFoundInIPv6() {
    let vtep = IPv6Address("2001:2:0:1::2")
    for type in [1, 2] as [UInt8] { #expect(ErrorMonitor.destination6(in: error6(type: type)[...], port: 4789) == vtep) }
    #expect(ErrorMonitor.destination6(in: error6(port: 53)[...], port: 4789) == nil)
    #expect(ErrorMonitor.destination6(in: error6(protocolNumber: 6)[...], port: 4789) == nil)
    #expect(ErrorMonitor.destination6(in: error6(type: 3)[...], port: 4789) == nil)
    // A redirect (RFC 4861 section 4.5): target, then destination.
    let redirect = [137, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 9, count: 16) + vtep!.octets
    #expect(ErrorMonitor.destination6(in: redirect[...], port: 4789) == vtep)
  }

  @Test func noLengthLeadsOutsideThePacket() {
    for type in [2, 137] as [UInt8] {
      let packet = error6(type: type)
      for length in 0..<packet.count { _ = ErrorMonitor.destination6(in: packet[..<length], port: 4789) }
    }
    for packet in [error(), error(options: 40)] {
      for length in 0..<packet.count { _ = ErrorMonitor.destination(in: packet[..<length], port: 4789) }
      for at in packet.indices {
        var odd = packet
        odd[at] = 0xff
        _ = ErrorMonitor.destination(in: odd[...], port: 4789)
      }
    }
  }
}
