// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import DataPlane
import LinuxSystem
import Netlink
import PacketHeaders
import XDPSocket

/// Tier `afxdp`: the programs of bpf/afxdp.bpf.c decide as tier `xdp`'s do, and hand what may be
/// forwarded to workers in user space, which encapsulate and send it. A worker has its own memory, and a
/// socket on its share of every device's queues: no frame ever changes hands between workers.
final class AFXDPTier: TableTier {
  let tier = Tier.afxdp
  let uplinkEndFeatures = EndFeatures.completeChecksums
  var portEndFeatures: [String: Bool] { keepsOffloads ? [:] : EndFeatures.completeChecksums }
  let needsRedirectTargets = false
  let tables: BPFTables
  private let portProgram: BPFProgram
  private let uplinkProgram: BPFProgram
  private var links: [UInt32: Box<XDPLink>] = [:]
  private let workers: [ForwardingWorker]
  private let keepsOffloads: Bool
  private let sockets: BPFMap<UInt32, Int32>
  /// Modes obtained, by slot.
  private var modes: [UInt32: String] = [:]

  /// One lane per queue of each port.
  private static let laneCapacity = 4096

  init(_ options: FastPathOptions, _ place: OverlayPlace, report: (String) -> Void) throws {
    // A frame must fit behind the room that the kernel keeps, with its outer headers on the wire.
    let longest = Int(max(place.uplink.mtu, place.bridge.mtu)) + 64
    let frameBytes = longest <= FrameMemory.receiveBytes(of: 2048) ? 2048 : 4096
    let limit = UInt32(FrameMemory.receiveBytes(of: frameBytes))
    if longest > limit {
      report("frames of more than \(limit) bytes stay with the kernel (tier afxdp)")
    }
    tables = try BPFTables(
      options, vxlanPort: place.vxlan.vxlan?.port ?? 4789, object: culvert_bpf_afxdp(),
      sizes: ["sockets": options.portCapacity * UInt32(CULVERT_QUEUES)], variables: ["frame_limit": limit])
    portProgram = try tables.program("culvert_port")
    uplinkProgram = try tables.program("culvert_uplink")
    sockets = try tables.map("sockets")
    guard 1...Int(CULVERT_QUEUES) ~= options.workers,
      options.cpus.isEmpty || options.cpus.count == options.workers
    else {
      throw Failure(
        "start", "\(options.workers) workers on CPUs \(options.cpus)",
        advice: "1 to \(CULVERT_QUEUES) workers, and a CPU for each or for none.", status: .usage)
    }
    var workers: [ForwardingWorker] = []
    do {
      for index in 0..<options.workers {
        workers.append(
          try ForwardingWorker(
            memory: FrameMemory(frames: options.frames, frameBytes: frameBytes), lanes: Self.laneCapacity,
            slots: Int(options.portCapacity), seed: .random(in: 0 ... .max), wait: options.wait,
            cpu: options.cpus.isEmpty ? nil : options.cpus[index]))
      }
    } catch {
      for worker in workers { worker.stop() }
      throw error
    }
    self.workers = workers
    keepsOffloads = options.keepsOffloads
  }

  deinit { for worker in workers { worker.stop() } }

  var mode: String {
    let all = Set(modes.values).sorted().joined(separator: " and ")
    let cpus = workers.compactMap(\.cpu).map(String.init).joined(separator: ",")
    let count = workers.count == 1 ? "" : ", \(workers.count) workers"
    return
      "\(all.isEmpty ? "copy" : all), \(workers[0].wait.rawValue)\(count)\(cpus.isEmpty ? "" : " on CPU \(cpus)")"
  }

  // MARK: - Devices

  func attachUplink(_ link: Link) throws {
    try attach(uplinkProgram, link, slot: UInt32(CULVERT_UPLINK_SLOT))
  }

  func attachPort(_ link: Link, slot: UInt32) throws { try attach(portProgram, link, slot: slot) }

  /// Sockets first: a program without one gives everything to the kernel.
  private func attach(_ program: borrowing BPFProgram, _ link: Link, slot: UInt32) throws {
    do {
      modes[slot] = try open(link, slot: slot)
      try tables.open(link, slot: slot, flags: flags(slot))
      links[slot] = Box(
        try XDPLink(attaching: program, to: UInt32(link.index), interface: link.name, mode: .native))
    } catch {
      detach(slot: slot)
      throw error
    }
  }

  /// A socket on each receive queue, the queues dealt out among the workers. Returns the mode obtained.
  private func open(_ link: Link, slot: UInt32) throws -> String {
    let hasZeroCopy = try XDPFeatures.of(interface: link.index)?.contains(.zeroCopy) ?? false
    let mode: XDPSocket.Mode = hasZeroCopy ? .zeroCopy : .copy
    let queues = min(max(1, link.receiveQueues), UInt32(CULVERT_QUEUES))
    var opened = 0
    for queue in 0..<queues {
      let descriptor: Int32
      do throws(Failure) {
        descriptor = try workers[Int(queue) % workers.count].add(
          ifindex: UInt32(link.index), interface: link.name, queue: queue, mode: mode, slot: slot)
      } catch {
        // The device was made with more queues than it uses.
        if queue > 0 && error.errno == .invalidArgument { break }
        throw error
      }
      try sockets.update(slot * UInt32(CULVERT_QUEUES) + queue, descriptor)
      opened += 1
    }
    guard opened >= workers.count else {
      throw Failure(
        "serve", link.name,
        advice: "It has \(opened) queues; each of the \(workers.count) workers needs one.",
        status: .unavailable)
    }
    return hasZeroCopy ? "zero-copy" : "copy"
  }

  func update(_ link: Link, slot: UInt32) throws { try tables.update(link, slot: slot, flags: flags(slot)) }

  /// A container can switch its offloads on and off unannounced: where they are not held off, they may be on.
  private func flags(_ slot: UInt32) -> UInt32 {
    keepsOffloads && slot != UInt32(CULVERT_UPLINK_SLOT) ? CULVERT_PORT_PARTIAL.rawValue : 0
  }

  /// The program first, so that nothing is redirected to a socket that closes.
  func detach(slot: UInt32) {
    links[slot] = nil
    for queue in 0..<UInt32(CULVERT_QUEUES) {
      _ = try? sockets.delete(slot * UInt32(CULVERT_QUEUES) + queue)
    }
    for worker in workers { worker.remove(slot: slot) }
    tables.close(slot)
    modes[slot] = nil
  }

  // MARK: - The table is the programs' and, as a snapshot, the worker's

  func set(_ resolution: TunnelResolution, of key: TunnelKey, slot: UInt32) throws {
    try tables.set(resolution, of: key, slot: slot)
    setTunnel(slot, culvert_tunnel(key, resolution, segment: 0))
  }

  func clearTunnel(slot: UInt32) throws {
    try tables.clearTunnel(slot: slot)
    setTunnel(slot, culvert_tunnel())
  }

  private func setTunnel(_ slot: UInt32, _ tunnel: culvert_tunnel) {
    for worker in workers { worker.tunnels.set(Int(slot), tunnel) }
  }

  func commit() throws { for worker in workers { worker.tunnels.publish() } }

  // MARK: - Counters

  var work: [Work]? { workers.map(\.work) }

  func counters(slot: UInt32) throws -> SlotCounters {
    var sum = try tables.counters(slot: slot)
    sum.notSent = 0
    sum.notRedirected = 0
    for worker in workers {
      let losses = worker.losses(slot: slot)
      sum.notSent! += losses.notSent
      sum.notRedirected! += losses.notForwarded + (try worker.receiveDropped(slot: slot))
    }
    return sum
  }
}
