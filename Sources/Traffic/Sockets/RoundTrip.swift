// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

/// What one client with one outstanding request saw.
public struct RoundTripReport: Sendable {
  /// Of the answered requests.
  public var latency: LatencyHistogram
  /// Inside the window.
  public var transactionsPerSecond: Double
  /// Requests sent inside the window, and those without an answer in time.
  public var requests: UInt64
  public var timeouts: UInt64
  public var lostFraction: Double { requests == 0 ? 0 : Double(timeouts) / Double(requests) }
}

/// The client's loop of every round-trip workload.
enum RoundTrips {
  /// What an answer may take before it counts as lost where losses are final.
  static let patienceMilliseconds = 50

  /// Runs `exchange` again and again until the window ends. It is given the request's number and tells whether
  /// its answer came.
  static func run(
    _ timing: LoadTiming, _ meeting: Meeting, exchange: (UInt64) throws(Failure) -> Bool
  ) throws(Failure) -> RoundTripReport {
    var latency = LatencyHistogram()
    var requests: UInt64 = 0
    var timeouts: UInt64 = 0
    var number: UInt64 = 0
    let window = meeting.openWindow(timing)
    var sentAt = Clock.monotonicNanoseconds
    while sentAt < window.until {
      number += 1
      let answered = try exchange(number)
      let now = Clock.monotonicNanoseconds
      if window.contains(sentAt) {
        requests += 1
        if answered { latency.record(nanoseconds: now - sentAt) } else { timeouts += 1 }
      }
      sentAt = now
    }
    return RoundTripReport(
      latency: latency, transactionsPerSecond: Double(requests - timeouts) / timing.duration,
      requests: requests, timeouts: timeouts)
  }
}
