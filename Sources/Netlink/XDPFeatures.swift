// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// What a driver says that it can do with XDP (linux/netdev.h, enum netdev_xdp_act).
public struct XDPFeatures: OptionSet, Hashable, Sendable {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// XDP_ABORTED, _DROP, _PASS and _TX in the driver.
  public static let basic = XDPFeatures(rawValue: 1)
  public static let redirect = XDPFeatures(rawValue: 2)
  /// It can be the target of a redirect.
  public static let redirectTarget = XDPFeatures(rawValue: 4)
  public static let zeroCopy = XDPFeatures(rawValue: 8)
  public static let hardwareOffload = XDPFeatures(rawValue: 16)
  /// Receives frames of several buffers.
  public static let receiveMultiBuffer = XDPFeatures(rawValue: 32)
  /// Transmits them when they are redirected to it.
  public static let redirectTargetMultiBuffer = XDPFeatures(rawValue: 64)

  /// Of an interface of the calling thread's namespace, or nil where the kernel
  /// (before 6.3) does not say.
  public static func of(interface index: Int32) throws(Failure) -> XDPFeatures? {
    let socket = try NetlinkSocket(protocolNumber: NETLINK_GENERIC, name: "generic netlink")
    guard let family = try familyID("netdev", socket) else { return nil }
    var request = try Request(family)
    request.append(header: GenericHeader(command: NETDEV_CMD_DEV_GET))
    request.put(NETDEV_A_DEV_IFINDEX, index)
    var features: XDPFeatures?
    try socket.transact(request, "ask for the XDP features of", "interface \(index)") {
      message throws(Failure) in
      guard message.type == family else { return }
      try message.payload.attributes(after: GenericHeader.bytes).forEach { attribute throws(Failure) in
        if attribute.type == NETDEV_A_DEV_XDP_FEATURES {
          features = XDPFeatures(rawValue: try attribute.integer())
        }
      }
    }
    return features
  }

  private static func familyID(_ name: String, _ socket: borrowing NetlinkSocket) throws(Failure) -> Int? {
    var request = try Request(GENL_ID_CTRL)
    request.append(header: GenericHeader(command: CTRL_CMD_GETFAMILY))
    request.put(CTRL_ATTR_FAMILY_NAME, string: name)
    var id: Int?
    do throws(Failure) {
      try socket.transact(request, "find generic netlink family", name) { message throws(Failure) in
        guard message.type == GENL_ID_CTRL else { return }
        try message.payload.attributes(after: GenericHeader.bytes).forEach { attribute throws(Failure) in
          if attribute.type == CTRL_ATTR_FAMILY_ID { id = Int(try attribute.integer(UInt16.self)) }
        }
      }
    } catch {
      guard error.errno == .noSuchFileOrDirectory else { throw error }
      return nil
    }
    return id
  }
}

/// struct genlmsghdr.
private struct GenericHeader: BitwiseCopyable {
  var command: UInt8
  var version: UInt8 = 1
  var reserved: UInt16 = 0
  static let bytes = 4
}
