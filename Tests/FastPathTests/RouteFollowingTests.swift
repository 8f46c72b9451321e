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
    following.note(key, now: 1000)
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
