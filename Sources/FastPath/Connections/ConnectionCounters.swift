// SPDX-License-Identifier: Apache-2.0
import Netlink

/// What became of the TCP connections that a `ConnectionFollower` was told of.
public struct ConnectionCounters: Sendable, Equatable {
  /// Established and assured ones between the addresses that concern the overlay.
  public var followed: UInt64 = 0
  /// Made liberal and read back: the program may take them.
  public var marked: UInt64 = 0
  /// Ended before they could be marked.
  public var gone: UInt64 = 0
  /// Stay with the kernel, by reason.
  public var refused: [ConnectionRefusal: UInt64] = [:]
  /// Marked before, and given back to the kernel since rules changed.
  public var withdrawn: UInt64 = 0
  /// The kernel dropped announcements; the table was read again.
  public var overruns: UInt64 = 0
  /// Reads of the whole table: at the start, and after overruns.
  public var dumps: UInt64 = 0

  public init() {}
}

/// Why a connection's packets all stay with the kernel.
public enum ConnectionRefusal: String, Sendable, CaseIterable {
  /// A helper reads its payload (ftp, sip …).
  case helper
  /// Its source address is translated, so that packets need a port of this host's.
  case sourceNAT = "source-nat"
  /// The kernel changes its sequence numbers.
  case sequenceAdjusted = "sequence-adjusted"
  /// In a zone other than the default one.
  case zone
  /// One of the kernel's own flow tables forwards it.
  case offloaded
  /// Rules do not certainly accept it.
  case rules
  /// The kernel did not keep the flag.
  case notKept = "flag-not-kept"
  /// The kernel refused the change.
  case unchangeable

  /// The reason against an entry as conntrack has it, nil without one.
  public init?(against entry: ConntrackEntry) {
    if entry.helper != nil || entry.status.contains(.helper) {
      self = .helper
    } else if entry.status.contains(.sourceNAT) {
      self = .sourceNAT
    } else if entry.status.contains(.sequenceAdjusted) {
      self = .sequenceAdjusted
    } else if entry.zone != 0 {
      self = .zone
    } else if entry.status.contains(.offloaded) {
      self = .offloaded
    } else {
      return nil
    }
  }
}
