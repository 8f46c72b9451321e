// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem
import PacketHeaders
import SystemPackage

/// Asks and changes the connection tracking of the namespace of the thread that opened it
/// (ctnetlink; linux/netfilter/nfnetlink_conntrack.h). Needs CAP_NET_ADMIN there.
public struct ConntrackConnection: ~Copyable {
  let socket: NetlinkSocket
  private let receiver = DatagramReceiver()
  /// Of the next batch; libnl's own count from a time of day, so that answers are never mixed up.
  private var sequence: UInt32 = 1

  public init() throws(Failure) { socket = try Self.connect() }

  private static func connect() throws(Failure) -> NetlinkSocket {
    let socket = try NetlinkSocket(protocolNumber: NETLINK_NETFILTER, name: "conntrack")
    // The answers to a batch lie here until they are read.
    try socket.setReceiveBuffer(bytes: 4 << 20)
    return socket
  }

  /// Opens one in `namespace`, usable from any thread.
  public static func open(in namespace: borrowing NetworkNamespace) throws -> ConntrackConnection {
    var connection: ConntrackConnection?
    try namespace.run { connection = try ConntrackConnection() }
    return connection.take()!
  }

  /// Has the kernel load its connection tracking, where that is a module that nothing has asked for yet: until then it
  /// takes no program that calls it. Nothing is tracked by that.
  public static func load() throws(Failure) {
    let nobody = IPAddress.v4(.any)
    _ = try ConntrackConnection().entry(
      ConntrackTuple(source: nobody, destination: nobody, protocolNumber: UInt8(IPPROTO_UDP)))
  }

  /// Every entry that `selection` leaves, one after the other; where the kernel begins again, `reset` is called.
  public func forEach(
    _ selection: ConntrackSelection = .all, reset: () -> Void = {},
    _ body: (ConntrackEntry) -> Void
  ) throws(Failure) {
    let request = try selection.request()
    try socket.dump(request, "list", "tracked connections", reset: reset) { message throws(Failure) in
      guard message.type == ConntrackMessage.new else { return }
      let entry = try ConntrackEntry(parsing: message.payload)
      if selection.contains(entry) { body(entry) }
    }
  }

  public func entries(_ selection: ConntrackSelection = .all) throws(Failure) -> [ConntrackEntry] {
    var entries: [ConntrackEntry] = []
    try forEach(selection, reset: { entries = [] }) { entries.append($0) }
    return entries
  }

  /// The entry that a packet with this tuple, of either direction, belongs to; nil where there is none.
  public func entry(_ tuple: ConntrackTuple) throws(Failure) -> ConntrackEntry? {
    var found: ConntrackEntry?
    let request = try Self.request(ConntrackMessage.get, tuple)
    do throws(Failure) {
      try socket.transact(request, "look up", "a tracked connection") { message throws(Failure) in
        if message.type == ConntrackMessage.new { found = try ConntrackEntry(parsing: message.payload) }
      }
    } catch where error.errno == .noSuchFileOrDirectory {
      return nil
    }
    return found
  }

  /// Removes the entry, as `conntrack -D` does; false where it is gone already, or is another's by now.
  @discardableResult
  public func delete(_ entry: ConntrackEntry) throws(Failure) -> Bool {
    var request = try Self.request(ConntrackMessage.delete, entry.original)
    if let id = entry.id { request.put(Int(CTA_ID.rawValue), id.bigEndian) }
    do throws(Failure) {
      try socket.transact(request, "delete", "a tracked connection")
    } catch where error.errno == .noSuchFileOrDirectory {
      return false
    }
    return true
  }

  static func request(
    _ message: Int, _ tuple: ConntrackTuple, capacity: Int = 512
  ) throws(Failure) -> Request {
    var request = try Request(message, capacity: capacity)
    request.append(header: nfgenmsg(nfgen_family: tuple.family, version: UInt8(NFNETLINK_V0), res_id: 0))
    try tuple.put(CTA_TUPLE_ORIG, into: &request)
    return request
  }
}

// MARK: Changes

extension ConntrackConnection {
  /// What became of a change.
  public enum Outcome: Sendable, Equatable {
    /// The entry as read back after the change.
    case changed(ConntrackEntry)
    /// It went before.
    case gone
    case refused(Errno)
  }

  /// Makes both directions of each connection liberal (IP_CT_TCP_FLAG_BE_LIBERAL) and sets `mark`'s bits, then
  /// reads them back, all in one exchange. Nothing else of an entry is changed: flags and mark are sent with masks.
  /// - Parameter originals: the connections' original tuples, of TCP, at most `maximumBatch`.
  /// - Parameter mark: bits to set; 0 leaves the mark alone.
  /// - Returns: one outcome for each, in order.
  public mutating func makeLiberal(
    _ originals: [ConntrackTuple], mark: UInt32
  ) throws(Failure) -> [Outcome] {
    try change(originals) { tuple throws(Failure) in try Self.liberalRequest(tuple, mark: mark) }
  }

  /// Clears `mark`'s bits of each connection's mark and reads it back, as `makeLiberal` does. The connections stay
  /// liberal, since the kernel has not seen all of their packets.
  public mutating func clear(
    mark: UInt32, of originals: [ConntrackTuple]
  ) throws(Failure) -> [Outcome] {
    try change(originals) { tuple throws(Failure) in
      var request = try Self.request(ConntrackMessage.new, tuple)
      request.put(Int(CTA_MARK.rawValue), UInt32(0))
      request.put(Int(CTA_MARK_MASK.rawValue), mark.bigEndian)
      return request
    }
  }

  private mutating func change(
    _ originals: [ConntrackTuple], _ request: (ConntrackTuple) throws(Failure) -> Request
  ) throws(Failure) -> [Outcome] {
    precondition(originals.count <= Self.maximumBatch)
    guard !originals.isEmpty else { return [] }
    let first = sequence
    sequence &+= UInt32(2 * originals.count)
    var bytes: [UInt8] = []
    for (place, tuple) in originals.enumerated() {
      let change = try request(tuple)
      let read = try Self.request(ConntrackMessage.get, tuple)
      bytes += change.bytes(sequence: first &+ UInt32(2 * place))
      bytes += read.bytes(sequence: first &+ UInt32(2 * place) &+ 1)
    }
    try socket.send(bytes, "change", "tracked connections")
    return try outcomes(of: originals.count, first: first)
  }

  /// With 64 of these requests and their answers a datagram and a receive buffer are far from full.
  public static let maximumBatch = 64

  static func liberalRequest(_ tuple: ConntrackTuple, mark: UInt32) throws(Failure) -> Request {
    var request = try Self.request(ConntrackMessage.new, tuple)
    try request.nestMarked(Int(CTA_PROTOINFO.rawValue)) { info throws(Failure) in
      try info.nestMarked(Int(CTA_PROTOINFO_TCP.rawValue)) { tcp in
        // struct nf_ct_tcp_flags: flags, then the mask of those that are meant.
        let liberal = [TCPTracking.beLiberal, TCPTracking.beLiberal]
        tcp.put(Int(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL.rawValue), bytes: liberal)
        tcp.put(Int(CTA_PROTOINFO_TCP_FLAGS_REPLY.rawValue), bytes: liberal)
      }
    }
    if mark != 0 {
      request.put(Int(CTA_MARK.rawValue), mark.bigEndian)
      request.put(Int(CTA_MARK_MASK.rawValue), mark.bigEndian)
    }
    return request
  }

  /// The kernel has handled all of a batch once it is sent: the answers are there, one to each look-up at least.
  private func outcomes(of count: Int, first: UInt32) throws(Failure) -> [Outcome] {
    var outcomes = [Outcome?](repeating: nil, count: count)
    var refusals = [Errno?](repeating: nil, count: count)
    let reception = try receiver.receive(from: socket.descriptor, named: "a conntrack socket") {
      bytes throws(Failure) in
      var messages = Messages(bytes)
      while let message = try messages.next() {
        let number = Int(message.sequence &- first)
        guard number < 2 * count else { continue }
        if message.type == ConntrackMessage.new {
          outcomes[number / 2] = .changed(try ConntrackEntry(parsing: message.payload))
        } else if message.type == Int(NLMSG_ERROR) {
          guard let errno = try Acknowledgement(error: message).errno else { continue }
          refusals[number / 2] = refusals[number / 2] ?? errno
        }
      }
    }
    return (0..<count).map { place in
      if let refusal = refusals[place] {
        return refusal == .noSuchFileOrDirectory ? .gone : .refused(refusal)
      }
      return outcomes[place] ?? .refused(reception == .overrun ? .noBufferSpace : .noData)
    }
  }
}

extension Request {
  /// The message with its sequence number, for several in one datagram; the kernel answers the sending socket.
  borrowing func bytes(sequence: UInt32) -> [UInt8] {
    nlmsg_hdr(message).pointee.nlmsg_seq = sequence
    return bytes
  }
}
