// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem
import PacketHeaders
import Synchronization
import SystemPackage

/// A client, a server and the port that one run uses on both; parallel flows use those above it too.
public struct Path: Sendable {
  public var client: Station
  public var server: Station
  public var port: UInt16
  /// Over IPv6 instead of IPv4.
  public var overIPv6 = false
  /// Told, on the client's thread, when the window that counts begins and ends (CLOCK_MONOTONIC, ns).
  public var onWindow: (@Sendable (_ from: UInt64, _ until: UInt64) -> Void)?

  public init(client: Station, server: Station, port: UInt16) {
    self.client = client
    self.server = server
    self.port = port
  }

  /// Flow `index` of several: the same ends, a port of its own.
  func flow(_ index: Int) -> Path {
    var path = self
    path.port += UInt16(index)
    return path
  }

  /// Where `station` binds.
  func local(_ station: Station) throws(Failure) -> Endpoint { try endpoint(station, station.ipv4) }

  /// What the other end connects to in order to reach `station`.
  func remote(_ station: Station) throws(Failure) -> Endpoint {
    try endpoint(station, station.seenAs ?? station.ipv4)
  }

  /// What answers a ping of `station`.
  func pinged(_ station: Station) throws(Failure) -> Endpoint {
    try station.isService ? local(station) : remote(station)
  }

  private func endpoint(_ station: Station, _ ipv4: IPv4Address) throws(Failure) -> Endpoint {
    guard overIPv6 else { return Endpoint(.v4(ipv4), port: port) }
    guard let ipv6 = station.ipv6 else {
      throw Failure(
        "use IPv6 between", "\(client.name) and \(server.name)", advice: "One has no IPv6 address.")
    }
    return Endpoint(.v6(ipv6), port: port)
  }
}

/// How long a load runs before it counts, and how long it counts, in seconds.
public struct LoadTiming: Sendable {
  public var warmUp: Double
  public var duration: Double
  public init(warmUp: Double, duration: Double) {
    self.warmUp = warmUp
    self.duration = duration
  }
}

/// An interval of CLOCK_MONOTONIC in nanoseconds.
struct Window: Sendable {
  var from: UInt64
  var until: UInt64
  @inline(__always)
  func contains(_ instant: UInt64) -> Bool { instant >= from && instant < until }
}

func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(max(0, seconds) * 1e9) }
