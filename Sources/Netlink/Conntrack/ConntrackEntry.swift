// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem

/// What the kernel's connection tracking holds of one connection.
public struct ConntrackEntry: Hashable, Sendable {
  /// As the first packet had it.
  public var original: ConntrackTuple
  /// As an answer has it when it arrives: differs from `original.reversed` where addresses are translated.
  public var reply: ConntrackTuple
  public var status: ConntrackStatus
  /// Seconds until the entry goes; nil where the kernel did not say.
  public var timeout: UInt32?
  public var mark: UInt32
  /// Tells apart connections that had the same addresses one after the other; nil where the kernel did not say.
  public var id: UInt32?
  /// 0 is the default zone (nf_conntrack_zones).
  public var zone: UInt16
  public var tcp: TCPTracking?
  /// "ftp" …, nil without one.
  public var helper: String?

  public init(original: ConntrackTuple, reply: ConntrackTuple) {
    self.original = original
    self.reply = reply
    status = []
    mark = 0
    zone = 0
  }

  /// Both directions held as liberal: the kernel takes the connection on wherever the sequence numbers have got to.
  public var isLiberal: Bool {
    tcp.map { $0.flagsOriginal & $0.flagsReply & TCPTracking.beLiberal != 0 } ?? false
  }
}

/// IPS_* (linux/netfilter/nf_conntrack_common.h).
public struct ConntrackStatus: OptionSet, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  private init(_ status: ip_conntrack_status) { rawValue = UInt32(status.rawValue) }

  public static let expected = Self(IPS_EXPECTED)
  public static let seenReply = Self(IPS_SEEN_REPLY)
  public static let assured = Self(IPS_ASSURED)
  public static let confirmed = Self(IPS_CONFIRMED)
  public static let sourceNAT = Self(IPS_SRC_NAT)
  public static let destinationNAT = Self(IPS_DST_NAT)
  public static let sequenceAdjusted = Self(IPS_SEQ_ADJUST)
  public static let dying = Self(IPS_DYING)
  public static let fixedTimeout = Self(IPS_FIXED_TIMEOUT)
  public static let template = Self(IPS_TEMPLATE)
  public static let helper = Self(IPS_HELPER)
  /// A flow table of the kernel's forwards it.
  public static let offloaded = Self(IPS_OFFLOAD)
}

/// CTA_PROTOINFO_TCP_*.
public struct TCPTracking: Hashable, Sendable {
  public var state: State
  /// IP_CT_TCP_FLAG_* of each direction.
  public var flagsOriginal: UInt8
  public var flagsReply: UInt8

  public static let beLiberal = UInt8(IP_CT_TCP_FLAG_BE_LIBERAL)

  /// enum tcp_conntrack (linux/netfilter/nf_conntrack_tcp.h).
  public enum State: UInt8, Sendable {
    case none, synSent, synReceived, established, finWait, closeWait, lastAck, timeWait, close, synSent2
    /// Values that a newer kernel may have.
    case other = 255
  }
}
