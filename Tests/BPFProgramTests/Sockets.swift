// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import Glibc
import LinuxSystem
import TestSupport
import XDPSocket

/// An AF_XDP socket on a veth of the fixture's namespace, at every slot's first queue.
final class Sockets {
  private let memory: FrameMemory
  private let socket: XDPSocket
  private let map: BPFMap<UInt32, Int32>

  init(_ object: borrowing BPFObject) throws {
    try shell("ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1")
    let index = if_nametoindex("x0")
    let memory = try FrameMemory(frames: 64, frameBytes: 2048)
    let socket = try XDPSocket(
      memory: memory, ifindex: index, interface: "x0", queue: 0, ringSize: 64, mode: .copy)
    map = try object.map("sockets")
    for slot in UInt32(0)..<8 { try map.update(slot * UInt32(CULVERT_QUEUES), socket.descriptor.raw) }
    self.memory = memory
    self.socket = socket
  }
}
