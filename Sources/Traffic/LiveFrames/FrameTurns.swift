// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem
import PacketHeaders

/// Pairs of ends that take turns as the addresses of a generator's frames.
public struct FrameTurns: Sendable {
  public struct Pair: Sendable {
    public var source: MACAddress
    public var destination: MACAddress
    /// By which the pair's frames leave; nil: as all others do.
    public var device: (namespace: SharedNamespace, interface: String)?

    public init(
      source: MACAddress, destination: MACAddress,
      device: (namespace: SharedNamespace, interface: String)? = nil
    ) {
      self.source = source
      self.destination = destination
      self.device = device
    }
  }

  public var pairs: [Pair]
  /// Where in the frame the addresses are.
  public var offset: Int
  /// Frames that a pair's turn lasts.
  public var run: Int

  public init(_ pairs: [Pair], offset: Int, run: Int = 1) {
    self.pairs = pairs
    self.offset = offset
    self.run = run
  }

  func fill(_ template: inout culvert_template, _ object: borrowing BPFObject) throws {
    guard pairs.count <= Int(CULVERT_ENDS) else {
      throw Failure("take turns of", "\(pairs.count) pairs", advice: "\(CULVERT_ENDS) are the most.")
    }
    template.ends = UInt32(pairs.count)
    template.ends_offset = UInt32(offset)
    template.run = UInt32(run)
    let ends: BPFMap<UInt32, culvert_ends> = try object.map("ends")
    let leaves: BPFMap<UInt32, UInt32> = try object.map("leaves")
    for (index, pair) in pairs.enumerated() {
      var addresses = culvert_ends()
      withUnsafeMutableBytes(of: &addresses) {
        $0.copyBytes(from: pair.destination.octets + pair.source.octets)
      }
      try ends.update(UInt32(index), addresses)
      guard let (namespace, interface) = pair.device else { continue }
      template.by_device = 1
      let ifindex = try namespace.index(of: interface)
      // A device is looked up in the namespace of the thread that stores it.
      try namespace.value.run { try leaves.update(UInt32(index), ifindex) }
    }
  }
}
