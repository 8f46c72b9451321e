// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import PacketHeaders

/// Another MAC address in each of a generator's frames, in an order without locality.
public struct FrameNumbers: Sendable {
  /// Its last four octets, which are zero, become the number.
  public var first: MACAddress
  public var count: UInt32
  /// Where in the frame the address is.
  public var offset: Int

  public init(_ count: UInt32, from first: MACAddress, offset: Int) {
    self.count = count
    self.first = first
    self.offset = offset
  }

  func fill(_ template: inout culvert_template) {
    withUnsafeMutableBytes(of: &template.data) {
      UnsafeMutableRawBufferPointer(rebasing: $0[offset..<offset + 6]).copyBytes(from: first.octets)
    }
    template.numbers = count
    template.number_offset = UInt32(offset + 2)
  }
}
