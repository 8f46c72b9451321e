// SPDX-License-Identifier: Apache-2.0
import CBPFObjects

/// How many frames took how long, in the sink's buckets: one nanosecond up to 128, then 64 for each power of two.
public struct DelayCounts: Sendable, Equatable {
  private var counts = [UInt64](repeating: 0, count: Int(CULVERT_DELAY_BUCKETS))

  subscript(_ bucket: Int) -> UInt64 {
    get { counts[bucket] }
    set { counts[bucket] = newValue }
  }

  /// Nanoseconds in the middle of a bucket.
  static func nanoseconds(_ bucket: Int) -> UInt64 {
    guard bucket >= 128 else { return UInt64(bucket) }
    let shift = bucket / 64 - 1
    return UInt64(bucket - shift * 64) << shift + (1 << shift) / 2
  }

  /// Of what came after `earlier`.
  public func histogram(since earlier: DelayCounts) -> LatencyHistogram {
    var histogram = LatencyHistogram()
    for bucket in counts.indices where counts[bucket] > earlier.counts[bucket] {
      histogram.record(
        nanoseconds: Self.nanoseconds(bucket), count: counts[bucket] - earlier.counts[bucket])
    }
    return histogram
  }
}
