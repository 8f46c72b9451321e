// SPDX-License-Identifier: Apache-2.0

/// One overlay, bridged or routed, that is served. It lives on the agent's thread, which is in the overlay's namespace
/// whenever it calls. A session fails alone: the agent says so, and keeps the others.
protocol OverlaySession: AnyObject {
  /// The overlay's device, as `culvert status` names it.
  var name: String { get }
  /// Tier and mode, as "xdp native".
  var obtained: String { get }
  /// Where it answers, and what it changed is written down.
  var directory: RuntimeDirectory { get }
  /// What the agent's loop waits for.
  var descriptors: [Int32] { get }
  /// Attaches to what is to be served.
  func start() throws
  /// One of its descriptors, or of another session's by the same number, is readable. Throws `OverlayGone` where there
  /// is nothing to serve any more; of anything else the agent asks it to resynchronise.
  func handle(readable descriptor: Int32) throws
  /// CLOCK_MONOTONIC nanoseconds of the next look at what is not announced; .max for none.
  var deadline: UInt64 { get }
  func tick(now: UInt64) throws
  /// Reads everything again: announcements were lost, or could not be followed.
  func resynchronise(because reason: String) throws
  func status() throws -> Status
  func stats() throws -> Stats
  /// Gives everything back; returns what was restored, a line each.
  @discardableResult
  func stop() -> [String]
}

/// A device without which there is nothing to serve, or its namespace.
struct OverlayGone: Error {
  var device: String
}
