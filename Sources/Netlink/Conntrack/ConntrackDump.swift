// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// Lists a namespace's connections piece by piece: the kernel goes on when what it has sent has been read, so that
/// a table of many is read between other work.
public struct ConntrackDump: ~Copyable {
  private let socket: NetlinkSocket
  private let receiver = DatagramReceiver()
  private var selection = ConntrackSelection.all
  private var sequence: UInt32 = 0
  public private(set) var isRunning = false

  public init() throws(Failure) {
    socket = try NetlinkSocket(protocolNumber: NETLINK_NETFILTER, name: "conntrack dump")
  }

  /// Opens one in `namespace`, usable from any thread.
  public static func open(in namespace: borrowing NetworkNamespace) throws -> ConntrackDump {
    var dump: ConntrackDump?
    try namespace.run { dump = try ConntrackDump() }
    return dump.take()!
  }

  /// Readable (level-triggered) when there is something to receive.
  public var descriptor: Int32 { socket.descriptor }

  /// Asks for the entries; one dump at a time.
  public mutating func start(_ selection: ConntrackSelection) throws(Failure) {
    precondition(!isRunning)
    let request = try selection.request()
    sequence = try socket.send(request, extraFlags: NLM_F_DUMP, "list", "tracked connections")
    self.selection = selection
    isRunning = true
  }

  /// Gives `body` what has arrived, at most some ten thousand entries; `isRunning` says whether more will come. After an
  /// overrun none will, and some entries are not known.
  @discardableResult
  public mutating func receive(_ body: (ConntrackEntry) -> Void) throws(Failure) -> NetlinkReception {
    let (sequence, selection) = (sequence, selection)
    var ended = false
    let reception: NetlinkReception
    do throws(Failure) {
      reception = try receiver.receive(from: descriptor, named: "a conntrack dump", rounds: 1) {
        bytes throws(Failure) in
        var messages = Messages(bytes)
        while let message = try messages.next() {
          guard message.sequence == sequence else { continue }
          switch message.type {
          case Int(NLMSG_DONE):
            ended = true
            try Acknowledgement(done: message).check("list", "tracked connections")
          case Int(NLMSG_ERROR):
            ended = true
            try Acknowledgement(error: message).check("list", "tracked connections")
          case ConntrackMessage.new:
            let entry = try ConntrackEntry(parsing: message.payload)
            if selection.contains(entry) { body(entry) }
          default: break
          }
        }
      }
    } catch {
      if ended { isRunning = false }
      throw error
    }
    // What was lost of a dump cannot be told; no answer of it would follow.
    if ended || reception == .overrun { isRunning = false }
    return reception
  }
}
