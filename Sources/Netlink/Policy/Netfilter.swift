// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// A base chain of nftables: one that the kernel hands packets to.
public struct NetfilterChain: Hashable, Sendable {
  /// "ip", "ip6", "inet", "arp", "bridge", "netdev".
  public var family: String
  public var table: String
  public var name: String
  /// NF_INET_* for the layer 3 families: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting, 5 ingress (inet).
  /// Of "netdev": 0 ingress, 1 egress.
  public var hook: UInt32
  /// The devices that a chain at a device's hook is bound to; "eth*" is every one that begins so.
  public var devices: [String]
  /// Has no rule and accepts: it decides nothing.
  public var isEmpty: Bool
}

public enum Netfilter {
  /// The base chains of the calling thread's namespace; none where the kernel has no nftables.
  public static func chains() throws(Failure) -> [NetfilterChain] {
    let socket: NetlinkSocket
    do {
      socket = try NetlinkSocket(protocolNumber: 12 /* NETLINK_NETFILTER */, name: "netfilter")
    } catch let failure where failure.errno == Errno(rawValue: 93 /* EPROTONOSUPPORT */) {
      return []
    }
    var chains: [NetfilterChain] = []
    // NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN; struct nfgenmsg of NFPROTO_UNSPEC is four zero bytes.
    var request = try Request(10 << 8 | 4)
    request.append(header: UInt32(0))
    do {
      try socket.dump(request, "list", "nftables chains", reset: { chains = [] }) { message throws(Failure) in
        // NFT_MSG_NEWCHAIN
        guard message.type == 10 << 8 | 3, let chain = try parse(message.payload) else { return }
        chains.append(chain)
      }
    } catch let failure where failure.errno == .invalidArgument || failure.errno == .notSupportedOnSocket {
      // The subsystem is not there.
      return []
    }
    return chains
  }

  static func parse(_ payload: UnsafeRawBufferPointer) throws(Failure) -> NetfilterChain? {
    let family = try payload.read(UInt8.self, at: 0)
    var chain = NetfilterChain(
      family: names[family] ?? "family \(family)", table: "", name: "", hook: 0, devices: [], isEmpty: false)
    var isBase = false
    var rules: UInt32 = 0
    var policy: UInt32 = 1
    try payload.attributes(after: 4).forEach { attribute throws(Failure) in
      switch attribute.type {
      case 1: chain.table = attribute.string
      case 3: chain.name = attribute.string
      case 4:
        isBase = true
        try attribute.nested.forEach { hook throws(Failure) in
          switch hook.type {
          case 1: chain.hook = try hook.bigEndian()
          case 3: chain.devices.append(hook.string)
          case 4:
            // NFTA_DEVICE_PREFIX (2) stands for every device whose name begins so.
            try hook.nested.forEach { device in
              chain.devices.append(device.string + (device.type == 2 ? "*" : ""))
            }
          default: break
          }
        }
      case 5: policy = try attribute.bigEndian()
      case 6: rules = try attribute.bigEndian()
      default: break
      }
    }
    chain.isEmpty = rules == 0 && policy == 1
    return isBase ? chain : nil
  }

  private static let names: [UInt8: String] = [
    1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6",
  ]
}
