// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink
import PacketHeaders

/// Follows the connection tracking of one namespace and makes TCP connections such that packets may pass it by:
/// *liberal* both ways (IP_CT_TCP_FLAG_BE_LIBERAL), and marked so that the program can tell. Without the flag the
/// first packet that the kernel sees after some that it did not see is INVALID, and the usual rule drops it, for good.
///
/// The mark alone must not decide: where an address and port pair is used again while conntrack still holds the old
/// connection, the kernel begins anew with the entry's flags but not with its mark (net/netfilter/nf_conntrack_proto_tcp.c,
/// a SYN/ACK to a SYN that was ignored; seen on Linux 6.18). The program reads what counts from the entry itself:
/// `ct->proto.tcp.state` is TCP_CONNTRACK_ESTABLISHED and both `ct->proto.tcp.seen[].flags` are liberal, which the verifier
/// allows; such an entry is announced as established once more and made liberal again.
///
/// Only connections that are established and assured are touched, and none that `ConnectionRefusal` names. Each change
/// is read back; what the kernel did not keep is counted as refused.
///
/// When Culvert ends nothing has to be undone. A liberal entry is checked for its sequence numbers no more, which is
/// what makes it safe that the kernel takes over at any moment, in the middle of a window that it never saw; were the
/// flag taken back, those very connections would stall. The mark means nothing to anybody but a program of Culvert's,
/// and is gone with the connection.
///
/// Not thread-safe; lives on the event loop's thread. Wait for `descriptors`, call `handle()` when one is readable and
/// `tick(now:)` when `deadline` has passed. Each call does a bounded amount of work.
public final class ConnectionFollower {
  /// Bit 12, of the connection's mark: kube-proxy uses 0x4000 and 0x8000, CNI's portmap 0x2000, Calico 0xffff0000,
  /// Cilium 0x0f00, Amazon's CNI 0x80, flannel kube-proxy's.
  public static let defaultMark: UInt32 = 0x1000

  public private(set) var counters = ConnectionCounters()

  /// Whether rules accept a connection; nil where they accept each that is established.
  private var accepts: ((ConntrackEntry) -> Bool)?
  /// Marked ones that rules accept no more.
  private var withdrawals: [ConntrackTuple] = []
  /// Rules have changed, and the table has not been read since.
  private var mustJudge = false

  private var monitor: ConntrackMonitor
  private var connection: ConntrackConnection
  private var dump: ConntrackDump
  private let mark: UInt32
  private var filter: ConntrackFilter
  /// To be marked, each once, in the order in which they were told of.
  private var pending: [ConntrackTuple] = []
  private var waiting: Set<ConntrackTuple> = []
  /// Told of since the dump that is running was asked for: what it lists may be as they were before. Nil without one.
  private var sinceDump: Set<ConntrackTuple>?
  /// CLOCK_MONOTONIC ns from when on the table may be read again; nil while nothing asks for it.
  private var dumpDue: UInt64?
  private var events: [ConntrackEvent] = []

  /// Begins to listen. The first `tick` reads the table.
  /// - Parameter addresses: one end of a connection, as it is called where its packets come from, must lie in one of
  ///   these; the kernel leaves out the rest. None means every connection of the namespace.
  /// - Parameter mark: bits of the connection's mark to set; 0 where the program looks at the flags alone.
  public convenience init(
    in namespace: borrowing NetworkNamespace, addresses: Set<AddressPrefix>, mark: UInt32 = defaultMark
  ) throws {
    try self.init(in: namespace, addresses: addresses, mark: mark, receiveBufferBytes: 8 << 20)
  }

  /// - Parameter receiveBufferBytes: of kernel memory for announcements not yet read.
  init(
    in namespace: borrowing NetworkNamespace, addresses: Set<AddressPrefix>, mark: UInt32,
    receiveBufferBytes: Int32
  ) throws {
    self.mark = mark
    filter = ConntrackFilter(addresses: addresses)
    // Of all that a connection's life makes known, the updates tell that it came to be established.
    monitor = try ConntrackMonitor.open(.update, receiveBufferBytes: receiveBufferBytes, in: namespace)
    connection = try ConntrackConnection.open(in: namespace)
    dump = try ConntrackDump.open(in: namespace)
    try monitor.attach(filter)
    // One that was on its way when the listening began is not announced (nf_conntrack_events 2): read twice.
    dumpDue = 0
    lateDump = Clock.monotonicNanoseconds + Self.handshake
  }

  /// A handshake that takes longer leaves its connection to the kernel.
  private static let handshake: UInt64 = 5_000_000_000
  /// Between two readings of the table: where it is large, each takes a while.
  private static let betweenDumps: UInt64 = 1_000_000_000
  /// Exchanges with the kernel in one call, of `ConntrackConnection.maximumBatch` connections each.
  private static let batches = 4
  private var lateDump: UInt64?

  public var descriptors: [Int32] { [monitor.descriptor, dump.descriptor] }

  /// CLOCK_MONOTONIC ns of the next `tick`; 0 where there is work now, `.max` for none.
  public var deadline: UInt64 {
    if !pending.isEmpty || !withdrawals.isEmpty { return 0 }
    return min(dump.isRunning ? .max : dumpDue ?? .max, lateDump ?? .max)
  }

  /// Whether everything that was known at the start, and when rules changed, has been looked at.
  public var isCaughtUp: Bool {
    counters.dumps > 0 && !dump.isRunning && pending.isEmpty && withdrawals.isEmpty && !mustJudge
  }

  /// From now on only connections that `accepts` says so of are marked; nil: each that is established. The table is
  /// read again, and marks are taken back. Until `isCaughtUp` a mark may still be of a connection that is not accepted.
  public func judge(by accepts: ((ConntrackEntry) -> Bool)?) {
    guard accepts != nil || self.accepts != nil else { return }
    self.accepts = accepts
    mustJudge = true
    pending = []
    waiting = []
    // One that is running has been looked at by what was accepted before.
    dumpDue = 0
  }

  /// Other addresses concern the overlay by now; the table is read again for those that are new.
  public func follow(_ addresses: Set<AddressPrefix>) throws(Failure) {
    guard addresses != filter.addresses else { return }
    let isMore = !addresses.isSubset(of: filter.addresses)
    filter = ConntrackFilter(addresses: addresses)
    try monitor.attach(filter)
    if isMore { dumpDue = dumpDue ?? 0 }
  }

  /// Reads what has been announced or listed, and marks what it is about.
  public func handle() throws(Failure) {
    events.removeAll(keepingCapacity: true)
    let reception = try monitor.receive(into: &events, rounds: Self.batches)
    for case .update(let entry) in events { consider(entry) }
    if reception == .overrun { readAgain() }
    if dump.isRunning {
      defer { if !dump.isRunning { sinceDump = nil } }
      let reception = try dump.receive { entry in
        if sinceDump?.contains(entry.original) != true { consider(entry) }
        withdrawIfRefused(entry)
      }
      if reception == .overrun { readAgain() }
    }
    try markPending()
  }

  /// Begins a reading of the table that is due, and goes on with what `handle` left.
  public func tick(now: UInt64) throws(Failure) {
    if let late = lateDump, late <= now {
      lateDump = nil
      dumpDue = dumpDue ?? now
    }
    if let due = dumpDue, due <= now, !dump.isRunning {
      dumpDue = nil
      try startDump()
    }
    try markPending()
  }

  /// Something of what the kernel said was lost.
  private func readAgain() {
    counters.overruns += 1
    mustJudge = mustJudge || accepts != nil
    dumpDue = dumpDue ?? Clock.monotonicNanoseconds + Self.betweenDumps
  }

  private func startDump() throws(Failure) {
    var selection = ConntrackSelection()
    selection.status = .assured
    selection.protocolNumber = 6
    // Another's marks, which are the other IP's, are not taken back.
    selection.family = filter.family
    try dump.start(selection)
    sinceDump = []
    mustJudge = false
    counters.dumps += 1
  }

  private func withdrawIfRefused(_ entry: ConntrackEntry) {
    guard let accepts, mark != 0, entry.mark & mark == mark, !accepts(entry) else { return }
    withdrawals.append(entry.original)
  }

  private func consider(_ entry: ConntrackEntry) {
    guard filter.accepts(entry, mark: mark), !waiting.contains(entry.original) else { return }
    counters.followed += 1
    sinceDump?.insert(entry.original)
    if let refusal = ConnectionRefusal(against: entry) {
      counters.refused[refusal, default: 0] += 1
    } else if let accepts, !accepts(entry) {
      counters.refused[.rules, default: 0] += 1
    } else {
      pending.append(entry.original)
      waiting.insert(entry.original)
    }
  }

  private func markPending() throws(Failure) {
    for _ in 0..<Self.batches where !withdrawals.isEmpty {
      let batch = Array(withdrawals.prefix(ConntrackConnection.maximumBatch))
      withdrawals.removeFirst(batch.count)
      for case .changed in try connection.clear(mark: mark, of: batch) { counters.withdrawn += 1 }
    }
    for _ in 0..<Self.batches where !pending.isEmpty {
      let batch = Array(pending.prefix(ConntrackConnection.maximumBatch))
      pending.removeFirst(batch.count)
      waiting.subtract(batch)
      for outcome in try connection.makeLiberal(batch, mark: mark) { count(outcome) }
    }
  }

  private func count(_ outcome: ConntrackConnection.Outcome) {
    switch outcome {
    case .changed(let entry) where entry.isLiberal && entry.mark & mark == mark: counters.marked += 1
    case .changed: counters.refused[.notKept, default: 0] += 1
    case .gone: counters.gone += 1
    case .refused: counters.refused[.unchangeable, default: 0] += 1
    }
  }
}
