// SPDX-License-Identifier: Apache-2.0
import Glibc
import PacketHeaders
import Testing

@testable import FastPath
@testable import Netlink

@Suite struct RouteFollowingTests {
  let vtep = IPv4Address("198.18.1.2")!
  var key: RouteKey { RouteKey(remote: vtep, port: 4789, outInterface: 0) }
  let pause = RouteFollowing.pause

  func route(_ text: String, _ prefix: UInt8) -> RoutingChange {
    .route(to: IPv4Address(text)!, prefix: prefix)
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
    following.note(key, now: 1000)
    #expect(following.due! <= 1000)
    #expect(following.begin(now: 1000).concern(key))
    #expect(following.due == 1000 + pause)
    #expect(following.begin(now: 999 + pause).isEmpty)
    #expect(following.begin(now: 1000 + pause).concern(key))
    #expect(following.due == nil)
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

  @Test func noLengthLeadsOutsideThePacket() {
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
