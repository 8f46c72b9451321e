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
/// socket on its share of every device's queues: no frame ever changes hands between workers. Bursts of a single worker
/// leave by redirection where a socket would only copy (LiveSender).
final class AFXDPTier: PacketTier {
  let tier = Tier.afxdp
  var uplinkEndFeatures: [String: Bool] {
    live == nil
      ? EndFeatures.completeChecksums
      : EndFeatures.completeChecksums.merging(EndFeatures.redirectTarget) { $1 }
  }
  var portEndFeatures: [String: Bool] { keepsOffloads ? [:] : uplinkEndFeatures }
  var redirection: Redirection { live == nil ? .none : .whereReady }
  let tables: BPFTables
  var programIDs: Set<UInt32> { programs.ids }
  private var programs: RolePrograms
  private var roles: [UInt32: PortRole] = [:]
  private var links: [UInt32: Box<XDPLink>] = [:]
  /// nil: programs forward nothing by themselves.
  private let receiveQueues: ReceiveQueues?
  /// By themselves, of ports that are detached.
  private var directBefore: UInt64 = 0
  private let workers: [ForwardingWorker]
  /// nil: all leave by the sockets.
  private let live: LiveSending?
  private let devices: BPFMap<UInt32, UInt32>
  private let failures: TransmitFailures?
  private let keepsOffloads: Bool
  /// Uplinks that are veths whose far ends nobody can see.
  private var unseen: Set<UInt32> = []
  /// Devices with one queue, by slot.
  private var singles: Set<UInt32> = []
  private let sockets: BPFMap<UInt32, Int32>
  /// Modes obtained, by slot.
  private var modes: [UInt32: String] = [:]

  /// One queue per queue of each port.
  private static let queueCapacity = 4096
  /// Of a frame as received that LiveSender can send with outer headers on it.
  private static let liveLimit = LiveSender.frameLimit - Int(CULVERT_OUTER_BYTES)

  init(_ options: FastPathOptions, _ place: OverlayPlace, report: (String) -> Void) throws {
    guard 1...Int(CULVERT_QUEUES) ~= options.workers,
      options.cpus.isEmpty || options.cpus.count == options.workers
    else {
      throw Failure(
        "start", "\(options.workers) workers on CPUs \(options.cpus)",
        advice: "Give --workers 1 to \(CULVERT_QUEUES), and --cpus one CPU for each worker or leave it out.", status: .usage)
    }
    // A frame must fit behind the room that the kernel keeps, with its outer headers on the wire.
    let longest = Int(max(place.uplink?.mtu ?? 0, place.bridge.mtu)) + 64
    let frameBytes = longest <= FrameMemory.receiveBytes(of: 2048) ? 2048 : 4096
    let isLive = !options.keepsOffloads && longest <= Self.liveLimit && options.workers == 1
    let limit = UInt32(isLive ? Self.liveLimit : FrameMemory.receiveBytes(of: frameBytes))
    if longest > limit {
      report("frames of more than \(limit) bytes are left to the kernel (tier afxdp)")
    }
    let few = isLive ? Self.few(options) : 0
    tables = try BPFTables(
      options, object: culvert_bpf_afxdp(),
      sizes: [
        "sockets": options.portCapacity * UInt32(CULVERT_QUEUES), "pulses": UInt32(options.workers),
        "watches": UInt32(options.workers), "rx_queues": options.portCapacity * UInt32(CULVERT_QUEUES),
      ]
    ) { object in
      try object.set("few", to: few)
      try object.set("frame_limit", to: limit)
      try object.set("workers", to: UInt32(options.workers))
    }
    programs = RolePrograms(tables)
    sockets = try tables.map("sockets")
    devices = try tables.map("devices")
    var workers: [ForwardingWorker] = []
    // A flow is the same whoever sends it.
    let seed = tables.hashSeed
    let identifications = try IdentificationBlocks(array: tables.descriptor(ofMap: "ids_taken"), seed: seed)
    let receiveQueues =
      few == 0
      ? nil
      : try ReceiveQueues(
        array: tables.descriptor(ofMap: "rx_queues"), count: Int(options.portCapacity) * Int(CULVERT_QUEUES))
    let pulses = try Pulses(array: tables.descriptor(ofMap: "pulses"), workers: options.workers)
    func start(_ memory: consuming FrameMemory, _ sender: consuming LiveSender?, _ home: LiveSending?) throws
    {
      let index = workers.count
      workers.append(
        try ForwardingWorker(
          memory: memory, live: sender, queues: Self.queueCapacity, slots: Int(options.portCapacity),
          seed: seed, identifications: identifications, pulses: pulses, receiveQueues: receiveQueues,
          index: index, wait: options.wait,
          cpu: options.cpus.isEmpty ? nil : options.cpus[index], namespace: home?.namespace))
    }
    var live: LiveSending?
    var failures: TransmitFailures?
    do {
      if isLive {
        do {
          let sending = try LiveSending(frames: options.frames, devices: devices.descriptor.raw)
          failures = try TransmitFailures(
            capacity: options.portCapacity, sender: sending.namespace.value.identity, followsVeths: true)
          try start(sending.memory(frames: options.frames), sending.sender(), sending)
          live = sending
        } catch {
          report("bursts are sent by the sockets, not redirected: \(error)")
          failures = nil
        }
      }
      if options.workers > 1 {
        report("bursts are sent by the sockets: redirection keeps the order of frames only with one worker")
      }
      while workers.count < options.workers {
        try start(FrameMemory(frames: options.frames, frameBytes: frameBytes), nil, nil)
      }
    } catch {
      for worker in workers { worker.stop() }
      throw error
    }
    self.receiveQueues = receiveQueues
    self.workers = workers
    self.live = live
    self.failures = failures
    keepsOffloads = options.keepsOffloads
  }

  deinit { for worker in workers { worker.stop() } }

  /// Packets in a jiffy that programs forward by themselves. Who asked for a worker that is always awake gets it for
  /// every packet.
  private static func few(_ options: FastPathOptions) -> UInt32 {
    guard options.wait == .poll || options.wait == .adaptive else { return 0 }
    return max(1, UInt32(Clock.tickNanoseconds / 1_000_000)) * options.fewPerMillisecond
  }

  var mode: String {
    let all = Set(modes.values).sorted().joined(separator: " and ")
    let cpus = workers.compactMap(\.cpu).map(String.init).joined(separator: ",")
    let count = workers.count == 1 ? "" : ", \(workers.count) workers"
    return
      "\(all.isEmpty ? "copy" : all), \(workers[0].wait.rawValue)\(count)\(cpus.isEmpty ? "" : " on CPU \(cpus)")"
  }

  // MARK: - Devices

  func prepare(_ role: PortRole, slot: UInt32) throws { try programs.load(role, slot: slot) }
  func forget(_ role: PortRole, slot: UInt32) { programs.forget(role, slot: slot) }

  /// Sockets first: a program without one gives everything to the kernel.
  func attach(_ link: Link, slot: UInt32, _ role: PortRole, endIsSeen: Bool, journal: JournalFile) throws {
    roles[slot] = role
    if role == .uplink, !endIsSeen { unseen.insert(slot) }
    do {
      modes[slot] = try open(link, slot: slot, role)
      let (program, index) = try programs.program(role, link, slot: slot)
      try tables.open(link, slot: slot, role, flags: flags(link, slot), in: index)
      if live != nil {
        try failures?.follow(link, slot: slot)
        if link.kind == "veth" { _ = try recheck(link, slot: slot) }
      }
      links[slot] = Box(
        try XDPLink(
          attaching: program.program, to: UInt32(link.index), interface: link.name, mode: .native, endsFirst: true))
    } catch {
      detach(slot: slot)
      throw error
    }
  }

  /// A socket on each receive queue, the queues dealt out among the workers. Returns the mode obtained.
  private func open(_ link: Link, slot: UInt32, _ role: PortRole) throws -> String {
    let hasZeroCopy = try XDPFeatures.of(interface: link.index)?.contains(.zeroCopy) ?? false
    let mode: XDPSocket.Mode = hasZeroCopy ? .zeroCopy : .copy
    let queues = min(max(1, link.receiveQueues), UInt32(CULVERT_QUEUES))
    var opened = 0
    for queue in 0..<queues {
      let descriptor: Int32
      do throws(Failure) {
        descriptor = try workers[Int(queue) % workers.count].add(
          ifindex: UInt32(link.index), interface: link.name, queue: queue, mode: mode, slot: slot,
          isUplink: role == .uplink)
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
        advice: Self.tooFew(queues: UInt32(opened), workers: workers.count),
        status: .unavailable)
    }
    if opened == 1 { singles.insert(slot) }
    return hasZeroCopy ? "zero-copy" : "copy"
  }

  func objection(toPort link: Link) -> String? {
    let queues = min(max(1, link.receiveQueues), UInt32(CULVERT_QUEUES))
    return queues < workers.count ? Self.tooFew(queues: queues, workers: workers.count) : nil
  }

  private static func tooFew(queues: UInt32, workers: Int) -> String {
    "it has \(queues) \(queues == 1 ? "queue" : "queues"), and each of the \(workers) workers needs one"
  }

  /// The mode where bursts for a device leave by redirection.
  private static let redirected = "copy, bursts redirected"
  private func redirectsTo(_ slot: UInt32) -> Bool { modes[slot] == Self.redirected }

  /// A veth of one queue: what leaves by the socket and by redirection stays in order, since either has gone through
  /// the other end when its call returns. Of several queues redirection takes the one of the CPU, and others may be at work
  /// there. Runs in the device's namespace.
  private func isRedirectTarget(_ link: Link, slot: UInt32) throws -> Bool {
    guard live != nil, link.kind == "veth", singles.contains(slot) else { return false }
    // Where the kernel (before 6.3) does not say, an end that was seen to is all that is known.
    return try XDPFeatures.of(interface: link.index)?.contains(.redirectTarget)
      ?? !unseen.contains(slot)
  }

  /// Its far end may take redirected frames no longer, or again, where nobody can see that end.
  func recheck(_ link: Link, slot: UInt32) throws -> Bool {
    guard let mode = modes[slot], mode != "zero-copy" else { return false }
    let wanted = try isRedirectTarget(link, slot: slot)
    guard wanted != redirectsTo(slot) else { return false }
    modes[slot] = wanted ? Self.redirected : "copy"
    // While workers redirect to it, it is in the map; so the programs do as well.
    if wanted { try devices.update(slot, UInt32(link.index)) }
    for worker in workers { worker.set(slot: slot, isRedirectTarget: wanted) }
    if !wanted { _ = try devices.delete(slot) }
    return true
  }

  func mode(slot: UInt32) -> String { modes[slot] ?? "copy" }

  func update(_ link: Link, slot: UInt32) throws {
    guard let role = roles[slot] else { return }
    try tables.update(link, slot: slot, role, flags: flags(link, slot))
  }

  /// A container can switch its offloads on and off unannounced: where they are not held off, they may be on. So may
  /// those of a veth's far end that nobody can see.
  private func flags(_ link: Link, _ slot: UInt32) -> UInt32 {
    let mayBePartial =
      roles[slot] == .uplink ? link.kind == "veth" && unseen.contains(slot) : keepsOffloads
    return mayBePartial ? CULVERT_PORT_PARTIAL.rawValue : 0
  }

  /// Nothing is lost: first nothing new is handed over, by the device's own program or for it by another; then what
  /// was is sent, and only then the sockets close.
  func detach(slot: UInt32) {
    links[slot] = nil
    tables.close(slot)
    for queue in 0..<UInt32(CULVERT_QUEUES) {
      _ = try? sockets.delete(slot * UInt32(CULVERT_QUEUES) + queue)
    }
    RunningPrograms.waitUntilOver()
    for worker in workers { worker.drain(slot: slot) }
    for worker in workers { worker.remove(slot: slot) }
    if let receiveQueues {
      directBefore &+= receiveQueues.direct(slot: slot)
      receiveQueues.end(slot: slot)
    }
    _ = try? devices.delete(slot)
    failures?.forget(slot: slot)
    modes[slot] = nil
    singles.remove(slot)
    unseen.remove(slot)
    roles[slot] = nil
  }

  // MARK: - The table is the programs' and, as a snapshot, the worker's

  /// The workers' first: the programs then hand over for it. Where it is the kernel's turn, what they have handed over
  /// already still goes the way that it was meant to.
  func set(_ resolution: TunnelResolution, of key: TunnelKey, uplink: UInt32, slot: UInt32) throws {
    let tunnel = culvert_tunnel(key, resolution, uplink: uplink)
    if tunnel.valid != 0 { for worker in workers { worker.tunnels.set(Int(slot), tunnel) } }
    try tables.set(resolution, of: key, uplink: uplink, slot: slot)
  }

  /// The programs' first.
  func clearTunnel(slot: UInt32) throws {
    try tables.clearTunnel(slot: slot)
    for worker in workers { worker.tunnels.clear(Int(slot)) }
  }

  func commit() throws { for worker in workers { worker.tunnels.publish() } }

  // MARK: - Counters

  var work: [Work]? {
    workers.enumerated().map { index, worker in
      var work = worker.work
      if let receiveQueues, index == 0 {
        work.direct = roles.keys.reduce(directBefore) { $0 &+ receiveQueues.direct(slot: $1) }
      }
      return work
    }
  }

  func counters(slot: UInt32) throws -> SlotCounters {
    var sum = try tables.counters(slot: slot)
    let failed = try failures?.count(slot: slot)
    sum.notSent = failed?.notSent ?? 0
    sum.notRedirected = failed?.notRedirected ?? 0
    for worker in workers {
      let losses = worker.losses(slot: slot)
      sum.notSent! += losses.notSent
      sum.notRedirected! += losses.notForwarded + (try worker.receiveDropped(slot: slot))
    }
    return sum
  }
}
