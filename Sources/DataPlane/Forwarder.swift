// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import CLinuxSystem
import Glibc
import LinuxSystem
import XDPSocket

/// Moves frames between AF_XDP sockets: receives bursts, carries out what the programs decided, transmits.
/// The frames stay where they are in memory; only descriptors move.
///
/// `turn` is the packet loop: it allocates nothing, touches no reference count, throws nothing and calls no
/// function that does. scripts/packet-loop.sh reads its machine code to keep it so.
struct Forwarder: ~Copyable {
  static let burst: UInt32 = 64
  static let ringSize: UInt32 = 2048
  /// Where a turn finds this many packets, more may be waiting: they are gathered, before the kernel is called, until a
  /// turn finds fewer, or for so many turns, or until there are so many. Taking them in lasts microseconds.
  static let worthGathering = 8
  static let gatheringTurns = 8
  static let gathering = 512
  /// By redirection; fewer are sent sooner by the sockets.
  static let leastRedirected = 24

  let memory: FrameMemory
  /// nil: all leave by the sockets.
  private let live: LiveSender?
  private let outbox: LiveSender.Outbox?
  private var listed = 0
  private var backoff = RedirectionBackoff()
  private let base: UnsafeMutableRawPointer
  private var pool: FramePool
  private var shares: FillShares
  let losses: LossCounters
  let work = WorkCounters()
  private let seed: UInt64
  private let identifications: Identifications

  private let queues: UnsafeMutablePointer<PortQueue>
  private let queueCapacity: Int
  /// Queues in use, in the order they are served.
  private let active: UnsafeMutablePointer<UInt16>
  private(set) var activeCount = 0
  private var isFree: [Bool]
  /// Through which queue a slot is reached.
  private let queueOfSlot: UnsafeMutablePointer<UInt16>
  private let slotCapacity: Int
  /// Queues with descriptors to show to the kernel.
  private let kicks: UnsafeMutablePointer<UInt16>
  private var kickCount = 0
  private var gathered = 0
  private var gatheredTurns = 0
  private(set) var behindCount = 0
  private var hasUnpublished = false

  /// - Parameter queues: sockets at most; `slots`: ports at most, uplinks included.
  init(
    memory: consuming FrameMemory, live: consuming LiveSender?, queues queueCapacity: Int, slots: Int,
    seed: UInt64, identifications blocks: IdentificationBlocks
  ) {
    base = memory.base
    pool = FramePool(frames: memory.frameCount, frameBytes: memory.frameBytes)
    shares = FillShares(capacity: UInt32(memory.frameCount), ringSize: Self.ringSize)
    self.memory = memory
    outbox = live?.outbox
    self.live = live
    self.seed = seed
    identifications = Identifications(blocks)
    self.queueCapacity = queueCapacity
    slotCapacity = slots
    losses = LossCounters(slots: slots)
    queues = .allocate(capacity: queueCapacity)
    active = .allocate(capacity: queueCapacity)
    kicks = .allocate(capacity: queueCapacity)
    queueOfSlot = .allocate(capacity: slots)
    queueOfSlot.initialize(repeating: PortQueue.none, count: slots)
    isFree = Array(repeating: true, count: queueCapacity)
  }

  deinit {
    for index in 0..<activeCount { (queues + Int(active[index])).deinitialize(count: 1) }
    queues.deallocate()
    active.deallocate()
    kicks.deallocate()
    queueOfSlot.deallocate()
  }

  // MARK: - Sockets come and go while the worker is parked

  /// For one more container's port, or socket of an uplink.
  var hasRoom: Bool {
    activeCount < queueCapacity && FillShares.first(ofLeft: pool.count) >= FillShares.fewest
  }

  /// Takes a bound socket in. The first of a slot is the one that frames for it leave by.
  mutating func add(_ socket: consuming XDPSocket, _ state: ReceiveQueue?, slot: UInt32, isUplink: Bool) {
    let index = isFree.firstIndex(of: true)!
    isFree[index] = false
    (queues + index).initialize(to: PortQueue(socket: socket, state: state, slot: slot, isUplink: isUplink))
    active[activeCount] = UInt16(index)
    activeCount += 1
    if queueOfSlot[Int(slot)] == PortQueue.none { queueOfSlot[Int(slot)] = UInt16(index) }
    queues[index].floor = FillShares.first(ofLeft: pool.count)
    share()
    offer(index, queues[index].floor)
  }

  /// Deals the frames out among the sockets that there are: what is offered already stays so until it comes back.
  private mutating func share() {
    let uplinks = (0..<activeCount).filter { isUplink(Int(active[$0])) }
    for position in uplinks { queues[Int(active[position])].floor = shares.uplink(uplinks.count) }
    shares.sockets = activeCount - uplinks.count
  }

  @inline(__always)
  private func isUplink(_ index: Int) -> Bool { queues[index].isUplink }

  /// What the slot's device can do has changed.
  mutating func set(slot: UInt32, isRedirectTarget: Bool) {
    for position in 0..<activeCount where queues[Int(active[position])].slot == slot {
      queues[Int(active[position])].isRedirectTarget = isRedirectTarget && outbox != nil
    }
  }

  /// Takes in and sends what the slot's sockets have received, and what is to leave by them.
  mutating func drain(slot: UInt32, _ snapshot: TunnelTable.Snapshot) {
    var turns = Self.ringSize / Self.burst + 2
    while turns > 0 && hasReceived(slot) {
      _ = turn(snapshot)
      turns -= 1
    }
    sendGathered()
    // A device that takes nothing for as long has lost it.
    let deadline = culvert_monotonic_ns() + 20_000_000
    while isBehind(slot) && culvert_monotonic_ns() < deadline { catchUp() }
  }

  private mutating func hasReceived(_ slot: UInt32) -> Bool {
    for position in 0..<activeCount where queues[Int(active[position])].slot == slot {
      if queues[Int(active[position])].socket.receive.available(atMost: 1) > 0 { return true }
    }
    return false
  }

  private func isBehind(_ slot: UInt32) -> Bool {
    (0..<activeCount).contains { queues[Int(active[$0])].slot == slot && queues[Int(active[$0])].isBehind }
  }

  /// Serves the slot's sockets no longer; `close` and `reclaim` must follow.
  mutating func retire(slot: UInt32) -> [UInt16] {
    var retired: [UInt16] = []
    for position in 0..<activeCount {
      let index = active[position]
      if queues[Int(index)].slot == slot {
        if queues[Int(index)].isBehind { behindCount -= 1 }
        if !isUplink(Int(index)) { shares.held -= queues[Int(index)].offered }
        retired.append(index)
      } else {
        active[position - retired.count] = index
      }
    }
    activeCount -= retired.count
    share()
    queueOfSlot[Int(slot)] = PortQueue.none
    losses.reset(slot)
    return retired
  }

  /// Closes a retired queue's socket, which takes milliseconds: not while the worker waits.
  func close(_ index: UInt16) { (queues + Int(index)).deinitialize(count: 1) }

  /// Takes back the frames that a closed socket held.
  mutating func reclaim(_ retired: [UInt16]) {
    for index in retired {
      pool.reclaim(from: index)
      isFree[Int(index)] = true
    }
  }

  func descriptor(_ position: Int) -> Int32 { queues[Int(active[position])].socket.descriptor.raw }

  /// Frames redirected to the slot's sockets that the kernel could not hand over.
  func receiveDropped(slot: UInt32) throws(Failure) -> UInt64 {
    var sum: UInt64 = 0
    for position in 0..<activeCount where queues[Int(active[position])].slot == slot {
      sum += try queues[Int(active[position])].socket.statistics().receiveDropped
    }
    return sum
  }

  // MARK: - The packet loop

  /// One turn over all queues. Returns whether it did anything: frames that were sent are to be offered again.
  @inline(never)
  mutating func turn(_ snapshot: TunnelTable.Snapshot) -> Bool {
    var packets = 0
    var bursts = 0
    for position in 0..<activeCount {
      let index = Int(active[position])
      complete(index)
      let count = queues[index].socket.receive.available(atMost: Self.burst)
      if count > 0 {
        forward(index, count, snapshot)
        packets &+= Int(count)
        bursts &+= 1
        queues[index].received &+= UInt64(count)
        queues[index].offered &-= count
        if !isUplink(index) { shares.held &-= count }
      }
      if count > 0 || queues[index].offered < queues[index].floor { refill(index) }
    }
    gathered &+= packets
    gatheredTurns &+= 1
    if bursts > 0 {
      work.add(packets: packets, bursts: bursts)
      hasUnpublished = true
    }
    var hasSent = false
    if packets < Self.worthGathering || gathered >= Self.gathering || gatheredTurns >= Self.gatheringTurns {
      hasSent = gathered > 0
      sendGathered()
    }
    if behindCount > 0 { catchUp() }
    return packets > 0 || hasSent
  }

  /// After a turn that found nothing: the programs may forward by themselves again.
  @inline(__always)
  mutating func publishDone() {
    guard hasUnpublished, gathered == 0, behindCount == 0 else { return }
    hasUnpublished = false
    for position in 0..<activeCount { queues[Int(active[position])].publishDone() }
  }

  /// Also before queues come or go: what is listed must be there.
  @inline(__always)
  mutating func sendGathered() {
    if listed > 0 { redirect() }
    for position in 0..<kickCount {
      queues[Int(kicks[position])].isListed = false
      transmit(Int(kicks[position]))
    }
    kickCount = 0
    gathered = 0
    gatheredTurns = 0
  }

  @inline(__always)
  private mutating func forward(_ index: Int, _ count: UInt32, _ snapshot: TunnelTable.Snapshot) {
    for place in 0..<count {
      let frame = base + Int(XDPSocket.offset(ofReceived: queues[index].socket.receive[place].addr))
      culvert_prefetch(frame - Layout.outer)
      culvert_prefetch(frame)
      culvert_prefetch(frame + 64)
    }
    for place in 0..<count {
      let received = queues[index].socket.receive[place]
      let address = XDPSocket.offset(ofReceived: received.addr)
      let frame = base + Int(address)
      var leaving = xdp_desc(addr: address, len: received.len, options: 0)
      let done = FrameMetadata.apply(
        frame, bytes: Int(received.len), snapshot, seed: seed, identifications)
      var out = PortQueue.none
      switch done {
      case .encapsulated(let slot):
        leaving.addr &-= UInt64(Layout.outer)
        leaving.len &+= UInt32(Layout.outer)
        if slot < slotCapacity { out = queueOfSlot[slot] }
      case .decapsulated(let slot):
        leaving.addr &+= UInt64(Layout.outer)
        leaving.len &-= UInt32(Layout.outer)
        if slot < slotCapacity { out = queueOfSlot[slot] }
      case .local(let slot):
        if slot < slotCapacity { out = queueOfSlot[slot] }
      case .stale: break
      }
      if out == PortQueue.none {
        losses.addNotForwarded(queues[index].slot)
        pool.give(back: address)
      } else if queues[Int(out)].mayRedirect {
        list(leaving, for: Int(out))
      } else {
        append(leaving, to: Int(out))
      }
    }
    queues[index].socket.receive.release(count)
  }

  /// A listed frame stays in the hands of the queue that received it until it is sent.
  @inline(__always)
  private mutating func list(_ descriptor: xdp_desc, for out: Int) {
    if listed == LiveSender.capacity { redirect() }
    outbox![listed] = culvert_send(address: descriptor.addr, bytes: descriptor.len, slot: queues[out].slot)
    listed &+= 1
  }

  /// Sends what is listed: by redirection, after which the frames are the pool's again, or over to the sockets where
  /// it is little, or where redirection has become slow.
  @inline(never)
  private mutating func redirect() {
    let count = listed
    listed = 0
    var place = 0
    if count >= Self.leastRedirected && backoff.allows {
      let isOwnTime = backoff.wantsOwnTime
      let start = isOwnTime ? culvert_thread_cpu_ns() : culvert_monotonic_ns()
      let (done, refused) = outbox!.send(count, calls: work)
      let took = (isOwnTime ? culvert_thread_cpu_ns() : culvert_monotonic_ns()) &- start
      backoff.add(frames: count, nanoseconds: took, isWhole: done == count, isOwnTime: isOwnTime)
      work.add(redirected: done)
      if !backoff.allows { work.addBackoff() }
      while place < done {
        let sent = outbox![place]
        if refused > 0 && sent.bytes == 0 { losses.addNotSent(sent.slot) }
        pool.give(back: sent.address)
        place &+= 1
      }
    }
    while place < count {
      let one = outbox![place]
      append(xdp_desc(addr: one.address, len: one.bytes, options: 0), to: Int(queueOfSlot[Int(one.slot)]))
      place &+= 1
    }
  }

  /// Hands a frame over to a queue's transmit ring; a full one is a counted loss.
  @inline(__always)
  private mutating func append(_ descriptor: xdp_desc, to out: Int) {
    if queues[out].socket.transmit.free(wanted: 1) == 0 {
      transmit(out)
      complete(out)
      if queues[out].socket.transmit.free(wanted: 1) == 0 {
        losses.addNotSent(queues[out].slot)
        pool.give(back: descriptor.addr)
        return
      }
    }
    queues[out].socket.transmit.append(descriptor)
    pool.move(descriptor.addr, to: UInt16(truncatingIfNeeded: out))
    if !queues[out].isListed {
      queues[out].isListed = true
      kicks[kickCount] = UInt16(truncatingIfNeeded: out)
      kickCount &+= 1
    }
  }

  /// Frames that the kernel has sent are the pool's again.
  @inline(__always)
  private mutating func complete(_ index: Int) {
    let count = queues[index].socket.completion.available(atMost: Self.ringSize)
    if count == 0 { return }
    for place in 0..<count { pool.give(back: queues[index].socket.completion[place]) }
    queues[index].socket.completion.release(count)
  }

  /// Gives frames to the kernel to receive into.
  @inline(__always)
  private mutating func refill(_ index: Int) {
    let offered = queues[index].offered
    let most = isUplink(index) ? queues[index].floor : shares.limit(queues[index].floor)
    if offered &+ min(32, most / 2) <= most { offer(index, most &- offered) }
  }

  @inline(__always)
  private mutating func offer(_ index: Int, _ wanted: UInt32) {
    let wanted = min(wanted, UInt32(truncatingIfNeeded: pool.count))
    let count = min(wanted, queues[index].socket.fill.free(wanted: wanted))
    if count == 0 { return }
    for _ in 0..<count { queues[index].socket.fill.append(pool.take(for: UInt16(truncatingIfNeeded: index))) }
    queues[index].socket.fill.submit()
    queues[index].offered &+= count
    if !isUplink(index) { shares.held &+= count }
    if queues[index].socket.fill.needsWakeup {
      work.addReceiveCall()
      culvert_xsk_kick_receive(queues[index].socket.descriptor.raw)
    }
  }

  /// Shows a queue's descriptors to the kernel and makes it send them.
  @inline(never)
  private mutating func transmit(_ index: Int) {
    queues[index].socket.transmit.submit()
    let descriptor = queues[index].socket.descriptor.raw
    var tries = 0
    // One call sends a bounded number; each frame that the device refuses ends a call.
    while tries < 128 {
      if !queues[index].socket.transmit.needsWakeup { break }
      let status = culvert_xsk_kick_transmit(descriptor)
      work.addTransmitCall()
      tries &+= 1
      if status == -EBUSY { losses.addNotSent(queues[index].slot) }
      if status == 0 || queues[index].socket.transmit.isDrained { break }
      if status == -EAGAIN { complete(index) }
      if status != -EAGAIN && status != -EBUSY { break }
    }
    let isBehind = !queues[index].socket.transmit.isDrained
    if isBehind != queues[index].isBehind {
      queues[index].isBehind = isBehind
      behindCount &+= isBehind ? 1 : -1
    }
  }

  /// Tries again what the kernel did not take.
  @inline(never)
  private mutating func catchUp() {
    for position in 0..<activeCount {
      let index = Int(active[position])
      if queues[index].isBehind {
        complete(index)
        transmit(index)
      }
    }
  }
}
