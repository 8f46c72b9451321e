// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem

/// Which entries a dump is to have. The kernel leaves out what it can (CTA_MARK since long, CTA_STATUS since
/// Linux 5.16); what an older one sends nevertheless is left out here.
public struct ConntrackSelection: Hashable, Sendable {
  /// AF_INET, AF_INET6; 0 for both.
  public var family: UInt8 = 0
  /// Bits of the mark that must be 0.
  public var unmarked: UInt32 = 0
  /// Status bits that must be set.
  public var status: ConntrackStatus = []
  /// IPPROTO_*; nil for all.
  public var protocolNumber: UInt8?

  public init() {}
  public static let all = ConntrackSelection()

  func request() throws(Failure) -> Request {
    var request = try Request(ConntrackMessage.get)
    request.append(header: nfgenmsg(nfgen_family: family, version: UInt8(NFNETLINK_V0), res_id: 0))
    if unmarked != 0 {
      request.put(Int(CTA_MARK.rawValue), UInt32(0))
      request.put(Int(CTA_MARK_MASK.rawValue), unmarked.bigEndian)
    }
    if !status.isEmpty {
      request.put(Int(CTA_STATUS.rawValue), status.rawValue.bigEndian)
      request.put(Int(CTA_STATUS_MASK.rawValue), status.rawValue.bigEndian)
    }
    return request
  }

  func contains(_ entry: ConntrackEntry) -> Bool {
    (family == 0 || family == entry.original.family) && entry.mark & unmarked == 0
      && entry.status.isSuperset(of: status)
      && (protocolNumber == nil || protocolNumber == entry.original.protocolNumber)
  }
}
