// SPDX-License-Identifier: Apache-2.0
import CLibNL
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// A device's driver, features and statistics, by ioctl (linux/ethtool.h).
///
/// It belongs to the namespace of the thread that opened it, as `RouteConnection` does.
public struct Ethtool: ~Copyable {
  private let socket: OwnedDescriptor

  public init() throws(Failure) {
    let raw = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw Failure("open", "a socket for ethtool", errno: .last) }
    socket = OwnedDescriptor(adopting: raw)
  }

  /// Opens one in `namespace`, usable from any thread.
  public static func open(in namespace: borrowing NetworkNamespace) throws -> Ethtool {
    var ethtool: Ethtool?
    try namespace.run { ethtool = try Ethtool() }
    return ethtool.take()!
  }

  public struct Driver: Hashable, Sendable {
    public var name: String
    public var version: String
    public var bus: String
  }

  public struct Channels: Hashable, Sendable {
    public var receive: UInt32
    public var transmit: UInt32
    public var combined: UInt32
    public var maximumReceive: UInt32
    public var maximumTransmit: UInt32
    public var maximumCombined: UInt32
  }

  public func driver(of interface: String) throws(Failure) -> Driver {
    var info = ethtool_drvinfo()
    info.cmd = UInt32(ETHTOOL_GDRVINFO)
    try call(interface, "ask for the driver of", &info)
    return Driver(name: text(info.driver), version: text(info.version), bus: text(info.bus_info))
  }

  /// Queues; fails with EOPNOTSUPP where the driver does not say.
  public func channels(of interface: String) throws(Failure) -> Channels {
    var channels = ethtool_channels()
    channels.cmd = UInt32(ETHTOOL_GCHANNELS)
    try call(interface, "ask for the queues of", &channels)
    return Channels(
      receive: channels.rx_count, transmit: channels.tx_count, combined: channels.combined_count,
      maximumReceive: channels.max_rx, maximumTransmit: channels.max_tx,
      maximumCombined: channels.max_combined)
  }

  /// The driver's own counters by its own names; empty where it has none.
  public func statistics(of interface: String) throws(Failure) -> [String: UInt64] {
    let names: [String]
    do throws(Failure) {
      names = try strings(of: interface, set: ETH_SS_STATS)
    } catch {
      // Without any the driver has no such set, or no ethtool at all.
      guard error.errno == .notSupported else { throw error }
      return [:]
    }
    guard !names.isEmpty else { return [:] }
    let block = Block(headerBytes: 8, count: names.count, stride: 8)
    block.bytes.storeBytes(of: UInt32(ETHTOOL_GSTATS), as: UInt32.self)
    block.bytes.storeBytes(of: UInt32(names.count), toByteOffset: 4, as: UInt32.self)
    try call(interface, "read the statistics of", block.bytes.baseAddress!)
    var statistics: [String: UInt64] = [:]
    for (i, name) in names.enumerated() {
      statistics[name] = block.bytes.loadUnaligned(fromByteOffset: 8 + 8 * i, as: UInt64.self)
    }
    return statistics
  }

  /// The names of a string set; their order is the set's numbering.
  func strings(of interface: String, set: ethtool_stringset) throws(Failure) -> [String] {
    // struct ethtool_sset_info for one set: the mask, then one word for its size.
    let info = Block(headerBytes: 16, count: 1, stride: 8)
    info.bytes.storeBytes(of: UInt32(ETHTOOL_GSSET_INFO), as: UInt32.self)
    info.bytes.storeBytes(of: 1 << UInt64(set.rawValue), toByteOffset: 8, as: UInt64.self)
    try call(interface, "count the names of", info.bytes.baseAddress!)
    guard info.bytes.load(fromByteOffset: 8, as: UInt64.self) != 0 else {
      throw Failure("count the names of", interface, errno: .notSupported)
    }
    let count = Int(info.bytes.load(fromByteOffset: 16, as: UInt32.self))
    let stride = Int(ETH_GSTRING_LEN)
    let block = Block(headerBytes: 12, count: count, stride: stride)
    block.bytes.storeBytes(of: UInt32(ETHTOOL_GSTRINGS), as: UInt32.self)
    block.bytes.storeBytes(of: set.rawValue, toByteOffset: 4, as: UInt32.self)
    block.bytes.storeBytes(of: UInt32(count), toByteOffset: 8, as: UInt32.self)
    try call(interface, "read the names of", block.bytes.baseAddress!)
    return (0..<count).map {
      let start = 12 + $0 * stride
      return String(decoding: block.bytes[start..<start + stride].prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  func call(
    _ interface: String, _ operation: String, _ request: UnsafeMutableRawPointer
  ) throws(Failure) {
    let status = culvert_ethtool(socket.raw, interface, request)
    guard status >= 0 else {
      throw Failure(operation, "interface \(interface)", errno: Errno(rawValue: -status))
    }
  }

  /// A C array of characters as imported.
  private func text<T>(_ characters: T) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}

/// Zeroed memory for a struct with a flexible array at its end.
struct Block: ~Copyable {
  let bytes: UnsafeMutableRawBufferPointer

  init(headerBytes: Int, count: Int, stride: Int) {
    bytes = .allocate(byteCount: headerBytes + count * stride, alignment: 8)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { bytes.deallocate() }
}
