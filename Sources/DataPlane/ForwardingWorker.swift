// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import CLinuxSystem
import Dispatch
import Glibc
import LinuxSystem
import Synchronization
import XDPSocket

/// What a worker does when no packet is there.
public enum WaitMode: String, Sendable, CaseIterable, Codable {
  /// Sleeps at once: no CPU time, a wake-up per burst.
  case poll
  /// Gives way to whatever else wants the CPU for a while after the last packet, then sleeps.
  case adaptive
  /// Gives way, never sleeps: a CPU of its own, which others may use.
  case yield
  /// Never leaves its CPU: lowest latency, a whole CPU.
  case spin
}

/// A thread that forwards frames between the sockets it is given.
public final class ForwardingWorker: @unchecked Sendable {
  public let tunnels = TunnelTable()
  public let wait: WaitMode
  /// nil: wherever the scheduler puts it.
  public let cpu: Int?

  private let pulses: Pulses
  private let receiveQueues: ReceiveQueues?
  private let turns: UnsafeMutablePointer<Atomic<UInt64>>
  private let namespace: Box<NetworkNamespace>?
  private let forwarder: UnsafeMutablePointer<Forwarder>
  private var thread: DedicatedThread?
  private let isOver = Atomic(false)
  private let wantsToPark = Atomic(false)
  private let hasParked = DispatchSemaphore(value: 0)
  private let mayGoOn = DispatchSemaphore(value: 0)
  /// One visitor at a time.
  private let visitor = Mutex(())
  private let bell: OwnedDescriptor
  private let bellReading: OwnedDescriptor

  /// After the last packet, in adaptive mode: longer than a wake-up takes, shorter than anyone would notice.
  private static let patienceNanoseconds: UInt64 = 50_000

  /// Starts the thread.
  /// - Parameters:
  ///   - live: how bursts are sent to devices that are redirect targets; over the same memory.
  ///   - slots: ports at most, uplinks included.
  ///   - receiveQueues: nil where programs forward nothing by themselves.
  ///   - seed: of the flow hash, and `identifications`: the same for all workers of a tier, so that they send as one.
  ///   - namespace: that the thread lives in; nil is the caller's.
  public init(
    memory: consuming FrameMemory, live: consuming LiveSender? = nil, queues: Int, slots: Int, seed: UInt64,
    identifications: IdentificationBlocks, pulses: Pulses, receiveQueues: ReceiveQueues?, index: Int, wait: WaitMode,
    cpu: Int?,
    namespace: Box<NetworkNamespace>? = nil
  ) throws(Failure) {
    var ends: [Int32] = [0, 0]
    guard culvert_pipe(&ends, true) == 0 else { throw Failure("create", "a pipe", errno: .last) }
    bellReading = OwnedDescriptor(adopting: ends[0])
    bell = OwnedDescriptor(adopting: ends[1])
    self.pulses = pulses
    self.receiveQueues = receiveQueues
    turns = pulses.turns(index)
    self.wait = wait
    self.cpu = cpu
    self.namespace = namespace
    forwarder = .allocate(capacity: 1)
    forwarder.initialize(
      to: Forwarder(
        memory: memory, live: live, queues: queues, slots: slots, seed: seed, identifications: identifications))
    let pinned = Mutex<Failure?>(nil)
    let isReady = DispatchSemaphore(value: 0)
    thread = try DedicatedThread { [self] in
      do throws(Failure) {
        try self.namespace?.value.enter()
        try pulses.begin(index)
        if let cpu { try CPU.pin(to: cpu) }
        isReady.signal()
        run()
      } catch {
        pinned.withLock { $0 = error }
        isReady.signal()
      }
    }
    isReady.wait()
    if let failure = pinned.withLock({ $0 }) { throw failure }
  }

  /// Ends the thread and closes every socket.
  public func stop() {
    guard !isOver.exchange(true, ordering: .sequentiallyConsistent) else { return }
    ring()
    thread?.join()
    forwarder.deinitialize(count: 1)
    forwarder.deallocate()
  }

  // MARK: - Ports

  /// Opens a socket on one of the slot's queues and serves it; runs in the device's namespace.
  /// Returns its descriptor, for the map that redirects to it.
  public func add(
    ifindex: UInt32, interface: String, queue: UInt32, mode: XDPSocket.Mode, slot: UInt32,
    isUplink: Bool
  ) throws(Failure) -> Int32 {
    let socket = try XDPSocket(
      memory: forwarder.pointee.memory, ifindex: ifindex, interface: interface, queue: queue,
      ringSize: Forwarder.ringSize, mode: mode,
      hasUnalignedChunks: mode == .copy && !isUplink)
    let descriptor = socket.descriptor.raw
    let box = Box<XDPSocket?>(socket)
    let isTaken = withForwarder { forwarder in
      guard forwarder.hasRoom else { return false }
      forwarder.add(
        box.value.take()!, receiveQueues?.begin(slot: slot, queue: queue), slot: slot, isUplink: isUplink)
      return true
    }
    guard isTaken else {
      throw Failure("serve", interface, advice: "The forwarder has no room for one more socket.")
    }
    return descriptor
  }

  /// Whether the slot's device takes redirected frames, on the one queue that its socket sends to.
  public func set(slot: UInt32, isRedirectTarget: Bool) {
    withForwarder { $0.set(slot: slot, isRedirectTarget: isRedirectTarget) }
  }

  /// Sends what the slot's sockets have received. Nothing is redirected to them any more, so that nothing is lost
  /// when they close.
  public func drain(slot: UInt32) {
    withForwarder { forwarder in
      forwarder.drain(slot: slot, tunnels.beginTurn())
      tunnels.endTurn()
    }
  }

  /// Closes the slot's sockets.
  public func remove(slot: UInt32) {
    let retired = withForwarder { $0.retire(slot: slot) }
    guard !retired.isEmpty else { return }
    for index in retired { forwarder.pointee.close(index) }
    withForwarder { $0.reclaim(retired) }
  }

  public func losses(slot: UInt32) -> Losses { forwarder.pointee.losses.read(slot) }

  public var work: Work { forwarder.pointee.work.read() }

  public func receiveDropped(slot: UInt32) throws -> UInt64 {
    try forwarder.pointee.receiveDropped(slot: slot)
  }

  /// Runs `body` while the worker is parked: microseconds, since its packets wait meanwhile.
  private func withForwarder<T>(_ body: (inout Forwarder) -> T) -> T {
    visitor.withLock { _ in
      wantsToPark.store(true, ordering: .sequentiallyConsistent)
      ring()
      hasParked.wait()
      let result = body(&forwarder.pointee)
      wantsToPark.store(false, ordering: .sequentiallyConsistent)
      mayGoOn.signal()
      return result
    }
  }

  private func ring() {
    var byte: UInt8 = 1
    _ = write(bell.raw, &byte, 1)
  }

  // MARK: - The thread

  private func run() {
    var waiting = descriptors()
    var lastPacket: UInt64 = 0
    while !isOver.load(ordering: .acquiring) {
      if wantsToPark.load(ordering: .acquiring) {
        forwarder.pointee.sendGathered()
        tunnels.endTurn()
        hasParked.signal()
        mayGoOn.wait()
        waiting = descriptors()
      }
      turns.pointee.store(turns.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
      if forwarder.pointee.turn(tunnels.beginTurn()) {
        if wait == .adaptive { lastPacket = Clock.monotonicNanoseconds }
        continue
      }
      forwarder.pointee.publishDone()
      switch wait {
      case .spin: culvert_pause()
      case .yield: sched_yield()
      case .adaptive where Clock.monotonicNanoseconds &- lastPacket < Self.patienceNanoseconds: sched_yield()
      case .adaptive, .poll: sleep(&waiting)
      }
    }
    tunnels.endTurn()
  }

  private func descriptors() -> [pollfd] {
    let all = [bellReading.raw] + (0..<forwarder.pointee.activeCount).map { forwarder.pointee.descriptor($0) }
    return all.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
  }

  /// Until a packet comes, or a visitor; not for long while the kernel has yet to take frames.
  private func sleep(_ waiting: inout [pollfd]) {
    tunnels.endTurn()
    poll(&waiting, nfds_t(waiting.count), forwarder.pointee.behindCount > 0 ? 1 : 1000)
    if waiting[0].revents != 0 {
      var bytes: UInt64 = 0
      while read(bellReading.raw, &bytes, 8) == 8 {}
    }
  }
}
