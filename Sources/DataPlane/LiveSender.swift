// SPDX-License-Identifier: Apache-2.0
import CBPFObjects
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// Sends bursts of a worker's frames by redirection: bpf/send.bpf.c copies each listed frame from the worker's memory
/// into a live frame (BPF_PROG_RUN). Where sockets only copy, the kernel builds an skb for each frame that one
/// transmits, and runs the receiving end for each; this way 64 go through together.
///
/// A call costs some 12 µs beside its frames, so that it pays for bursts only. It is over when they have left.
public struct LiveSender: ~Copyable, @unchecked Sendable {
  /// Longer frames cannot be sent.
  public static let frameLimit = Int(CULVERT_SEND_BYTES)
  public static let frameBytes = Int(CULVERT_SEND_FRAME_BYTES)
  static let capacity = Int(CULVERT_SENDS)

  private let program: OwnedDescriptor
  private let list: Mapping
  private let state: Mapping

  /// - Parameters:
  ///   - program: `culvert_send`, attached to some device in its driver, or every call would take milliseconds.
  ///   - sends, sending: the maps of its object.
  public init(program: consuming OwnedDescriptor, sends: Int32, sending: Int32) throws(Failure) {
    let list = try Mapping(
      of: sends, offset: 0, byteCount: Self.capacity * MemoryLayout<culvert_send>.stride)
    state = try Mapping(of: sending, offset: 0, byteCount: MemoryLayout<culvert_sending>.stride)
    self.list = list
    self.program = program
  }

  /// Whether this kernel runs live frames, and sets up for a call in less time than it takes to notice. Nothing is
  /// sent.
  public func probe() throws(Failure) {
    var best = UInt64.max
    outbox.state.pointee = culvert_sending()
    for _ in 0..<5 {
      let start = Clock.monotonicNanoseconds
      let status = culvert_run_live_frames(program.raw, 64, 64)
      guard status == 0 else { throw Failure("run", "live frames", errno: Errno(rawValue: -status)) }
      best = min(best, Clock.monotonicNanoseconds - start)
    }
    guard best < 2_000_000 else {
      throw Failure("run", "live frames", advice: "Each call takes this kernel \(best / 1_000_000) ms.")
    }
  }

  var outbox: Outbox {
    Outbox(
      program: program.raw, list: list.address.bindMemory(to: culvert_send.self, capacity: Self.capacity),
      state: state.address.bindMemory(to: culvert_sending.self, capacity: 1))
  }

  /// What the packet loop sees of it, while the sender lives.
  struct Outbox {
    fileprivate let program: Int32
    fileprivate let list: UnsafeMutablePointer<culvert_send>
    fileprivate let state: UnsafeMutablePointer<culvert_sending>

    @inline(__always)
    subscript(place: Int) -> culvert_send {
      get { list[place] }
      nonmutating set { list[place] = newValue }
    }

    /// Sends the first `count` of the list. Returns how many are done with: those that the program refused have 0 bytes
    /// now; what lies behind was not touched, since the kernel could not go on.
    @inline(__always)
    func send(_ count: Int, calls: borrowing WorkCounters) -> (done: Int, refused: Int) {
      state.pointee = culvert_sending(next: 0, count: UInt32(truncatingIfNeeded: count), refused: 0, zero: 0)
      var done = 0
      while done < count {
        let left = UInt32(truncatingIfNeeded: count &- done)
        let status = culvert_run_live_frames(program, max(64, list[done].bytes), left)
        calls.addTransmitCall()
        // Moved on by the program meanwhile.
        let next = Int(state.pointee.next)
        let isStuck = next == done
        done = next
        if isStuck || (status != 0 && status != -EINTR) { break }
      }
      return (done, Int(state.pointee.refused))
    }
  }
}
