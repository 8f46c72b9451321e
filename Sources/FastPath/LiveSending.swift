// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import DataPlane
import LinuxSystem
import Netlink
import XDPSocket

/// What a worker needs to send bursts by redirection: bpf/send.bpf.c over the worker's own memory, and a namespace
/// with a veth that nobody else sees.
///
/// The program is attached to that veth, where no frame ever comes by: the kernel then keeps the jump into it
/// (the XDP dispatcher) instead of making it anew for every call, which takes milliseconds. And frames that the kernel
/// cannot redirect come from a namespace that tells whose they are.
struct LiveSending {
  let namespace: Box<NetworkNamespace>
  private let object: Box<BPFObject>
  private let anchor: Box<XDPLink>

  /// - Parameter devices: the tier's map of ports by slot.
  init(frames: Int, devices: Int32) throws {
    let embedded = culvert_bpf_send()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.resize("memory", to: UInt32(frames))
    try object.share("devices", descriptor: devices)
    try object.load()
    let namespace = try NetworkNamespace.makeAnonymous()
    let program = try object.program("culvert_send")
    anchor = try namespace.run {
      let routes = try RouteConnection()
      try routes.createVeth(LinkSettings("send"), LinkSettings("none"))
      let link = try routes.link(named: "send")
      return Box(
        try XDPLink(attaching: program, to: UInt32(link.index), interface: link.name, mode: .native))
    }
    self.namespace = Box(namespace)
    self.object = Box(object)
  }

  /// The worker's memory, for its sockets too.
  func memory(frames: Int) throws -> FrameMemory {
    let map = try object.value.descriptor(ofMap: "memory")
    return try FrameMemory(array: map.raw, frames: frames, frameBytes: LiveSender.frameBytes)
  }

  /// Fails where this kernel cannot.
  func sender() throws -> LiveSender {
    let sends = try object.value.descriptor(ofMap: "sends")
    let sending = try object.value.descriptor(ofMap: "sending")
    let sender = try LiveSender(
      program: object.value.program("culvert_send").descriptor.duplicate(), sends: sends.raw,
      sending: sending.raw)
    try sender.probe()
    return sender
  }
}
