// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

extension ConntrackEntry {
  /// IPCTNL_MSG_CT_NEW's payload: struct nfgenmsg, then CTA_* (linux/netfilter/nfnetlink_conntrack.h).
  init(parsing payload: UnsafeRawBufferPointer) throws(Failure) {
    var (original, reply): (ConntrackTuple?, ConntrackTuple?) = (nil, nil)
    var (status, timeout, mark, id): (UInt32, UInt32?, UInt32, UInt32?) = (0, nil, 0, nil)
    var zone: UInt16 = 0
    var tcp: TCPTracking?
    var helper: String?
    try payload.attributes(after: MemoryLayout<nfgenmsg>.size).forEach { attribute throws(Failure) in
      switch attribute.type {
      case Int(CTA_TUPLE_ORIG.rawValue): original = try ConntrackTuple(parsing: attribute.nested)
      case Int(CTA_TUPLE_REPLY.rawValue): reply = try ConntrackTuple(parsing: attribute.nested)
      case Int(CTA_STATUS.rawValue): status = try attribute.bigEndian()
      case Int(CTA_TIMEOUT.rawValue): timeout = try attribute.bigEndian(UInt32.self)
      case Int(CTA_MARK.rawValue): mark = try attribute.bigEndian()
      case Int(CTA_ID.rawValue): id = try attribute.bigEndian(UInt32.self)
      case Int(CTA_ZONE.rawValue): zone = try attribute.bigEndian()
      case Int(CTA_PROTOINFO.rawValue):
        try attribute.nested.forEach { info throws(Failure) in
          if info.type == Int(CTA_PROTOINFO_TCP.rawValue) { tcp = try TCPTracking(parsing: info.nested) }
        }
      case Int(CTA_HELP.rawValue):
        try attribute.nested.forEach { part in
          if part.type == Int(CTA_HELP_NAME.rawValue) { helper = part.string }
        }
      default: break
      }
    }
    guard let original, let reply else { throw .malformed("conntrack entry without its tuples") }
    self.init(original: original, reply: reply)
    self.status = ConntrackStatus(rawValue: status)
    (self.timeout, self.mark, self.id, self.zone) = (timeout, mark, id, zone)
    (self.tcp, self.helper) = (tcp, helper)
  }
}

extension TCPTracking {
  init(parsing attributes: Attributes) throws(Failure) {
    self.init(state: .none, flagsOriginal: 0, flagsReply: 0)
    try attributes.forEach { attribute throws(Failure) in
      switch attribute.type {
      case Int(CTA_PROTOINFO_TCP_STATE.rawValue):
        state = State(rawValue: try attribute.integer()) ?? .other
      // struct nf_ct_tcp_flags: flags, then a mask that the kernel leaves 0.
      case Int(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL.rawValue): flagsOriginal = try attribute.integer()
      case Int(CTA_PROTOINFO_TCP_FLAGS_REPLY.rawValue): flagsReply = try attribute.integer()
      default: break
      }
    }
  }
}

/// nfnetlink's message types: the subsystem's number above the message's.
enum ConntrackMessage {
  private static let subsystem = Int(NFNL_SUBSYS_CTNETLINK) << 8
  static let new = subsystem | Int(IPCTNL_MSG_CT_NEW.rawValue)
  static let get = subsystem | Int(IPCTNL_MSG_CT_GET.rawValue)
  static let delete = subsystem | Int(IPCTNL_MSG_CT_DELETE.rawValue)
}
