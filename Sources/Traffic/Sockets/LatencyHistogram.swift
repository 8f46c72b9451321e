// SPDX-License-Identifier: Apache-2.0
import Histogram

/// Times in nanoseconds, to three significant digits (HdrHistogram); one of several runs is their sum.
public struct LatencyHistogram: Sendable, Equatable {
  private var histogram = Histogram<UInt32>(highestTrackableValue: 10_000_000_000)

  public init() {}

  public mutating func record(nanoseconds: UInt64) { histogram.record(nanoseconds) }

  public mutating func record(nanoseconds: UInt64, count: UInt64) {
    histogram.record(nanoseconds, count: UInt32(clamping: count))
  }

  public mutating func add(_ other: LatencyHistogram) { histogram.add(other.histogram) }

  public var count: UInt64 { histogram.totalCount }

  /// At a percentile, 0 to 100; 0 of nothing.
  public func microseconds(_ percentile: Double) -> Double {
    count == 0 ? 0 : Double(histogram.valueAtPercentile(percentile)) / 1000
  }

  public var maxMicroseconds: Double { count == 0 ? 0 : Double(histogram.max) / 1000 }
}
