// SPDX-License-Identifier: Apache-2.0
import CLibNL
import Glibc
import LinuxSystem

/// A classic BPF program on a netlink socket: the kernel queues only the messages that it accepts
/// (Documentation/networking/filter.rst). It sees a message from its struct nlmsghdr on. A load beyond the message's
/// end refuses it.
struct PacketFilter: Equatable {
  /// struct sock_filter.
  struct Instruction: Equatable {
    var code: UInt16
    var ifTrue: UInt8 = 0
    var ifFalse: UInt8 = 0
    var operand: UInt32 = 0
  }

  private(set) var instructions: [Instruction] = []

  /// BPF_MAXINSNS.
  static let maximumLength = 4_096

  private mutating func add(_ code: Int32, _ operand: UInt32 = 0, ifTrue: UInt8 = 0, ifFalse: UInt8 = 0) {
    instructions.append(
      Instruction(code: UInt16(code), ifTrue: ifTrue, ifFalse: ifFalse, operand: operand))
  }

  mutating func append(_ other: PacketFilter) { instructions += other.instructions }

  mutating func accept() { add(BPF_RET | BPF_K, .max) }
  mutating func refuse() { add(BPF_RET | BPF_K, 0) }

  /// A = a number in network order at a fixed place.
  mutating func loadHalf(at offset: UInt32) { add(BPF_LD | BPF_H | BPF_ABS, offset) }
  mutating func load(constant: UInt32) { add(BPF_LD | BPF_IMM, constant) }

  /// A = where attribute `type` begins, 0 where it is not there: the first of those that begin at A.
  mutating func find(attribute type: UInt32) {
    add(BPF_LDX | BPF_IMM, type)
    add(BPF_LD | BPF_W | BPF_ABS, UInt32(bitPattern: SKF_AD_OFF + SKF_AD_NLATTR))
  }
  /// The same inside the attribute that begins at A.
  mutating func find(nested type: UInt32) {
    add(BPF_LDX | BPF_IMM, type)
    add(BPF_LD | BPF_W | BPF_ABS, UInt32(bitPattern: SKF_AD_OFF + SKF_AD_NLATTR_NEST))
  }

  mutating func store(in slot: UInt32) { add(BPF_ST, slot) }
  mutating func load(from slot: UInt32) { add(BPF_LD | BPF_MEM, slot) }

  /// X = the attribute that A is at, for the loads from its payload.
  mutating func enter() { add(BPF_MISC | BPF_TAX) }
  mutating func loadWord(ofPayload offset: UInt32 = 0) { add(BPF_LD | BPF_W | BPF_IND, 4 + offset) }
  mutating func loadByte(ofPayload offset: UInt32 = 0) { add(BPF_LD | BPF_B | BPF_IND, 4 + offset) }

  mutating func and(_ mask: UInt32) { add(BPF_ALU | BPF_AND | BPF_K, mask) }

  mutating func refuse(unless value: UInt32) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, ifTrue: 1)
    refuse()
  }
  mutating func refuse(if value: UInt32) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, ifFalse: 1)
    refuse()
  }
  mutating func accept(if value: UInt32) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, ifFalse: 1)
    accept()
  }
  /// Goes on behind `body` where A differs.
  mutating func when(_ value: UInt32, _ body: (inout PacketFilter) -> Void) { branch(BPF_JEQ, value, body) }
  /// Goes on behind `body` where A has none of the bits.
  mutating func when(anyOf bits: UInt32, _ body: (inout PacketFilter) -> Void) { branch(BPF_JSET, bits, body) }

  /// Goes on behind `body` where A is the value.
  mutating func whenNot(_ value: UInt32, _ body: (inout PacketFilter) -> Void) {
    var inner = PacketFilter()
    body(&inner)
    add(BPF_JMP | BPF_JEQ | BPF_K, value, ifFalse: 1)
    add(BPF_JMP | BPF_JA, UInt32(inner.instructions.count))
    append(inner)
  }

  private mutating func branch(_ test: Int32, _ value: UInt32, _ body: (inout PacketFilter) -> Void) {
    var inner = PacketFilter()
    body(&inner)
    // A conditional jump reaches 255 instructions, an unconditional one any.
    add(BPF_JMP | test | BPF_K, value, ifTrue: 1)
    add(BPF_JMP | BPF_JA, UInt32(inner.instructions.count))
    append(inner)
  }
}

extension NetlinkSocket {
  /// Replaces the socket's filter at once; messages queued before stay.
  func attach(_ filter: PacketFilter) throws(Failure) {
    var program = filter.instructions.map {
      sock_filter(code: $0.code, jt: $0.ifTrue, jf: $0.ifFalse, k: $0.operand)
    }
    let status = program.withUnsafeMutableBufferPointer { instructions in
      var argument = sock_fprog(len: UInt16(instructions.count), filter: instructions.baseAddress)
      return setsockopt(
        descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &argument, socklen_t(MemoryLayout<sock_fprog>.size))
    }
    guard status == 0 else {
      throw Failure("attach", "a filter of \(program.count) instructions to a netlink socket", errno: .last)
    }
  }
}
