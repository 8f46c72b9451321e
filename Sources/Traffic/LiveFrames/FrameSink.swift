// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem

/// Counts and drops what an interface receives, at the first place where a packet meets it: an XDP program for
/// what comes through its driver, and a tc program for packets that a path hands to it above that
/// (bpf_redirect_peer). Detaches when it goes.
public struct FrameSink: ~Copyable, Sendable {
  private let taps: [Tap]
  private let counters: BPFMap<UInt32, culvert_sunk>
  private let delayCounts: BPFMap<UInt32, UInt64>

  /// - Parameters:
  ///   - places: interfaces by name and namespace; they take native XDP.
  ///   - port: only UDP over IPv4 to this port is counted and dropped, the rest goes on.
  ///   - stampOffset: where a frame, as it arrives, carries the time at which it left.
  public init(
    on places: [(interface: String, namespace: SharedNamespace)], port: UInt16, stampOffset: Int? = nil
  ) throws {
    let object = try BPFObject.bench(
      ["culvert_sink", "culvert_sink_skb"],
      filter: culvert_sink_filter(
        ethertype: UInt16(0x0800).bigEndian, port: port.bigEndian, stamp_offset: UInt16(stampOffset ?? 0),
        zero: 0))
    let delayCounts: BPFMap<UInt32, UInt64> = try object.map("delays")
    let counters: BPFMap<UInt32, culvert_sunk> = try object.map("sunk")
    var taps: [Tap] = []
    for (interface, namespace) in places { taps.append(try Tap(object, interface, namespace)) }
    self.taps = taps
    self.counters = counters
    self.delayCounts = delayCounts
  }

  /// Frames counted so far, over all CPUs.
  public func packets() throws(Failure) -> UInt64 {
    try (counters.perCPU(0) ?? []).reduce(0) { $0 + $1.packets }
  }

  /// How long the frames counted so far took, over all CPUs.
  public func delays() throws(Failure) -> DelayCounts {
    var counts = DelayCounts()
    for bucket in 0..<UInt32(CULVERT_DELAY_BUCKETS) {
      counts[Int(bucket)] = try (delayCounts.perCPU(bucket) ?? []).reduce(0, +)
    }
    return counts
  }
}

/// One interface that is counted.
private final class Tap: Sendable {
  private let link: XDPLink
  private let upper: UpperSink

  init(_ object: borrowing BPFObject, _ interface: String, _ namespace: SharedNamespace) throws {
    let program = try object.program("culvert_sink")
    let ifindex = try namespace.index(of: interface)
    link = try namespace.value.run {
      try Attached(XDPLink(attaching: program, to: ifindex, interface: interface, mode: .native))
    }.take()
    upper = try UpperSink(
      object.program("culvert_sink_skb"), on: ifindex, interface: interface, in: namespace)
  }
}

/// The tc half: by tcx, or where the kernel has none (before 6.6) as a filter of clsact.
private struct UpperSink: ~Copyable, Sendable {
  private let link: TCXLink?
  private let filter: (namespace: SharedNamespace, ifindex: UInt32)?

  init(
    _ program: borrowing BPFProgram, on ifindex: UInt32, interface: String, in namespace: SharedNamespace
  ) throws {
    if TCXLink.isSupported() {
      link = try namespace.value.run {
        try Attached(TCXLink(attaching: program, to: ifindex, interface: interface))
      }.take()
      filter = nil
    } else {
      try namespace.value.run { try TCFilter.add(program, to: Int32(ifindex), interface: interface) }
      link = nil
      filter = (namespace, ifindex)
    }
  }

  deinit {
    guard let (namespace, ifindex) = filter else { return }
    // What fails here goes with the namespace.
    try? namespace.value.run { try TCFilter.remove(from: Int32(ifindex), withClsact: true) }
  }
}

/// Carries a link out of the thread that made it.
private final class Attached<Link: ~Copyable> {
  private var link: Link?
  init(_ link: consuming Link) { self.link = consume link }
  func take() -> Link { link.take()! }
}
