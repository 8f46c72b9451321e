// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

extension Ethtool {
  /// One of a device's features (netdev-features in the kernel's documentation).
  public struct Feature: Hashable, Sendable {
    public var isOn: Bool
    /// Neither the user nor, now, the kernel can change it.
    public var isFixed: Bool
    /// Asked for by the user; the kernel may keep it off.
    public var isRequested: Bool
  }

  /// By the kernel's names: "tx-checksum-ip-generic", "tx-tcp-segmentation", "rx-gro" …
  public func features(of interface: String) throws(Failure) -> [String: Feature] {
    let names = try strings(of: interface, set: ETH_SS_FEATURES)
    let block = try featureBlock(of: interface, count: names.count)
    var features: [String: Feature] = [:]
    for (i, name) in names.enumerated() where !name.isEmpty {
      // struct ethtool_get_features_block: available, requested, active, never_changed.
      let words = 8 + 16 * (i / 32)
      func bit(_ word: Int) -> Bool {
        block.bytes.loadUnaligned(fromByteOffset: words + 4 * word, as: UInt32.self) >> (i % 32) & 1 == 1
      }
      features[name] = Feature(isOn: bit(2), isFixed: !bit(0) || bit(3), isRequested: bit(1))
    }
    return features
  }

  /// Sets features, all in one step. Fails where a name is unknown, or where the
  /// device does not end up as asked.
  public func setFeatures(of interface: String, _ wanted: [String: Bool]) throws(Failure) {
    let names = try strings(of: interface, set: ETH_SS_FEATURES)
    // struct ethtool_set_features_block: valid, requested.
    let words = (names.count + 31) / 32
    let block = Block(headerBytes: 8, count: words, stride: 8)
    block.bytes.storeBytes(of: UInt32(ETHTOOL_SFEATURES), as: UInt32.self)
    block.bytes.storeBytes(of: UInt32(words), toByteOffset: 4, as: UInt32.self)
    for (name, isOn) in wanted {
      guard let i = names.firstIndex(of: name) else {
        throw Failure("set feature \(name) of", "interface \(interface)", errno: .invalidArgument)
      }
      func set(_ word: Int) {
        let offset = 8 + 8 * (i / 32) + 4 * word
        let bits = block.bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        block.bytes.storeBytes(of: bits | 1 << UInt32(i % 32), toByteOffset: offset, as: UInt32.self)
      }
      set(0)
      if isOn { set(1) }
    }
    try call(interface, "set features of", block.bytes.baseAddress!)
    let obtained = try features(of: interface)
    let refused = wanted.filter { obtained[$0.key]?.isOn != $0.value }.keys.sorted()
    guard refused.isEmpty else {
      throw Failure(
        "set features of", "interface \(interface)", errno: .notSupported,
        advice: "The device keeps \(refused.joined(separator: ", ")) as it was.")
    }
  }

  private func featureBlock(of interface: String, count: Int) throws(Failure) -> Block {
    let words = (count + 31) / 32
    let block = Block(headerBytes: 8, count: words, stride: 16)
    block.bytes.storeBytes(of: UInt32(ETHTOOL_GFEATURES), as: UInt32.self)
    block.bytes.storeBytes(of: UInt32(words), toByteOffset: 4, as: UInt32.self)
    try call(interface, "read the features of", block.bytes.baseAddress!)
    return block
  }
}
