// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import LinuxSystem
import SystemPackage

/// An AF_XDP socket on one queue of one device, and its four rings
/// (Documentation/networking/af_xdp.rst). It closes when it goes.
public struct XDPSocket: ~Copyable {
  public let descriptor: OwnedDescriptor
  public var receive: ConsumerRing<xdp_desc>
  public var transmit: ProducerRing<xdp_desc>
  public var fill: ProducerRing<UInt64>
  public var completion: ConsumerRing<UInt64>
  /// As the kernel says after binding.
  public let isZeroCopy: Bool

  public enum Mode: Sendable {
    /// The driver reads and writes the frames themselves.
    case zeroCopy
    case copy
  }

  /// Opens, registers and binds; runs in the device's namespace.
  /// - Parameters:
  ///   - ringSize: entries of each ring, a power of two.
  ///   - hasUnalignedChunks: the kernel keeps a head of two cache lines for each frame. An aligned socket has one of its
  ///     own for every frame, so that those of many sockets are never in the caches; an unaligned one takes
  ///     whichever it used last, for a few nanoseconds more.
  public init(
    memory: borrowing FrameMemory, ifindex: UInt32, interface: String, queue: UInt32, ringSize: UInt32,
    mode: Mode, hasUnalignedChunks: Bool = false
  ) throws(Failure) {
    let subject = "an AF_XDP socket on \(interface), queue \(queue)"
    let raw = culvert_xsk_open()
    guard raw >= 0 else {
      let errno = Errno(rawValue: -raw)
      let isAbsent = errno == .addressFamilyNotSupported
      throw Failure(
        "open", subject, errno: errno, advice: isAbsent ? "This kernel has no AF_XDP." : nil,
        status: isAbsent ? .unavailable : nil)
    }
    let descriptor = OwnedDescriptor(adopting: raw)
    var registration = xdp_umem_reg()
    registration.addr = UInt64(UInt(bitPattern: memory.base))
    registration.len = UInt64(memory.frameBytes * memory.frameCount)
    registration.chunk_size = UInt32(memory.frameBytes)
    if hasUnalignedChunks { registration.flags = UInt32(XDP_UMEM_UNALIGNED_CHUNK_FLAG) }
    try Self.set(raw, XDP_UMEM_REG, registration, "register memory with", subject)
    for ring in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING] {
      try Self.set(raw, ring, ringSize, "size a ring of", subject)
    }
    var offsets = xdp_mmap_offsets()
    let status = culvert_xsk_offsets(raw, &offsets)
    guard status == 0 else { throw Failure("map the rings of", subject, errno: Errno(rawValue: -status)) }
    let receive = try RingMemory<xdp_desc>(
      raw, offsets.rx, page: UInt64(XDP_PGOFF_RX_RING), size: ringSize)
    let transmit = try RingMemory<xdp_desc>(
      raw, offsets.tx, page: UInt64(XDP_PGOFF_TX_RING), size: ringSize)
    let fill = try RingMemory<UInt64>(
      raw, offsets.fr, page: UInt64(XDP_UMEM_PGOFF_FILL_RING), size: ringSize)
    let completion = try RingMemory<UInt64>(
      raw, offsets.cr, page: UInt64(XDP_UMEM_PGOFF_COMPLETION_RING), size: ringSize)
    try Self.bind(raw, ifindex, queue, mode, subject)
    Self.raiseTransmitBudget(raw, to: ringSize)
    var isZeroCopy: Int32 = 0
    _ = culvert_xsk_options(raw, &isZeroCopy)
    self.isZeroCopy = isZeroCopy != 0
    self.receive = ConsumerRing(receive)
    self.transmit = ProducerRing(transmit)
    self.fill = ProducerRing(fill)
    self.completion = ConsumerRing(completion)
    self.descriptor = descriptor
  }

  /// Where in the memory a received packet begins: an unaligned socket says the frame's beginning, and in the upper 16
  /// bits how far behind it.
  @inlinable @inline(__always)
  public static func offset(ofReceived address: UInt64) -> UInt64 {
    (address & (1 << UInt64(XSK_UNALIGNED_BUF_OFFSET_SHIFT) - 1))
      &+ address >> UInt64(XSK_UNALIGNED_BUF_OFFSET_SHIFT)
  }

  private static func set<Value: BitwiseCopyable>(
    _ raw: Int32, _ option: Int32, _ value: Value, _ operation: String, _ subject: String
  ) throws(Failure) {
    let status = withUnsafeBytes(of: value) { culvert_xsk_set(raw, option, $0.baseAddress, $0.count) }
    guard status == 0 else { throw Failure(operation, subject, errno: Errno(rawValue: -status)) }
  }

  /// The queue of a socket that was closed a moment ago stays busy until the kernel has released it.
  private static func bind(
    _ raw: Int32, _ ifindex: UInt32, _ queue: UInt32, _ mode: Mode, _ subject: String
  ) throws(Failure) {
    let flags = UInt16(XDP_USE_NEED_WAKEUP) | UInt16(mode == .zeroCopy ? XDP_ZEROCOPY : XDP_COPY)
    var status: Int32 = 0
    for _ in 0..<100 {
      status = culvert_xsk_bind(raw, ifindex, queue, flags)
      if status != -Errno.resourceBusy.rawValue { break }
      usleep(20_000)
    }
    guard status != 0 else { return }
    let errno = Errno(rawValue: -status)
    let advice: String? =
      switch errno {
      case .resourceBusy: "Another process has an AF_XDP socket there: `ss --xdp` may name it."
      case .notSupportedOnSocket where mode == .zeroCopy: "The driver has no zero copy."
      case .invalidArgument: "The device has no such queue: see `ethtool -l`."
      default: nil
      }
    throw Failure("bind", subject, errno: errno, advice: advice)
  }

  /// Linux 6.17 and newer; older ones send 32 frames a call, and the caller asks again.
  private static func raiseTransmitBudget(_ raw: Int32, to frames: UInt32) {
    withUnsafeBytes(of: frames) {
      _ = culvert_xsk_set(raw, Int32(CULVERT_XDP_MAX_TX_SKB_BUDGET), $0.baseAddress, $0.count)
    }
  }

  public struct Statistics: Sendable, Equatable {
    /// Redirected here and not received: no frame, ring full, too long.
    public var receiveDropped: UInt64
    /// Descriptors that the kernel found wrong.
    public var invalid: UInt64
  }

  public func statistics() throws(Failure) -> Statistics {
    var raw = xdp_statistics()
    let status = culvert_xsk_statistics(descriptor.raw, &raw)
    guard status == 0 else {
      throw Failure("read the statistics of", "an AF_XDP socket", errno: Errno(rawValue: -status))
    }
    return Statistics(
      receiveDropped: raw.rx_dropped + raw.rx_ring_full,
      invalid: raw.rx_invalid_descs + raw.tx_invalid_descs)
  }
}
