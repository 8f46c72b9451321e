// SPDX-License-Identifier: Apache-2.0
import CBPFObjects

/// What the forwarder does to one frame, without sockets: for tests and for measuring single steps.
public enum FrameInMemory {
  /// - Parameter data: the program's words (struct culvert_metadata), then the frame.
  /// Returns the frame as it would be sent; nil where it would be dropped.
  public static func apply(_ data: [UInt8], tunnels: [culvert_tunnel], seed: UInt64 = 1) -> [UInt8]? {
    let words = MemoryLayout<culvert_metadata>.size
    let bytes = data.count - words
    let room = UnsafeMutableRawPointer.allocate(byteCount: 64 + data.count, alignment: 64)
    defer { room.deallocate() }
    let frame = room + 64
    data.withUnsafeBytes { (frame - words).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    var tunnels = tunnels
    let identifications = Identifications(IdentificationBlocks())
    return tunnels.withUnsafeMutableBufferPointer { tunnels in
      let snapshot = TunnelTable.Snapshot(count: tunnels.count, tunnels: tunnels.baseAddress!)
      switch FrameMetadata.apply(frame, bytes: bytes, snapshot, seed: seed, identifications) {
      case .encapsulated:
        return Array(UnsafeRawBufferPointer(start: frame - Layout.outer, count: bytes + Layout.outer))
      case .decapsulated:
        return Array(UnsafeRawBufferPointer(start: frame + Layout.outer, count: bytes - Layout.outer))
      case .local: return Array(UnsafeRawBufferPointer(start: frame, count: bytes))
      case .stale: return nil
      }
    }
  }
}
