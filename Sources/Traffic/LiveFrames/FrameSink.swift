// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem

/// Counts and drops what an interface receives, at the first place where a packet meets it: an XDP program for
/// what comes through its driver, and a tc program for packets that a path hands to it above that
/// (bpf_redirect_peer). Detaches when it goes.
public struct FrameSink: ~Copyable, Sendable {
  private let link: XDPLink
  private let upper: UpperSink
  private let counters: BPFMap<UInt32, culvert_sunk>

  /// - Parameters:
  ///   - interface: by name, in `namespace`; takes native XDP.
  ///   - port: only UDP over IPv4 to this port is counted and dropped, the rest goes on.
  public init(on interface: String, in namespace: SharedNamespace, port: UInt16) throws {
    let embedded = culvert_bpf_bench()
    var object = try BPFObject(name: "bench", data: embedded.data, size: embedded.size)
    try object.set(
      "filter", to: culvert_sink_filter(ethertype: UInt16(0x0800).bigEndian, port: port.bigEndian))
    try object.skip(program: "culvert_generate")
    try object.load()
    let program = try object.program("culvert_sink")
    let counters: BPFMap<UInt32, culvert_sunk> = try object.map("sunk")
    let ifindex = try namespace.index(of: interface)
    let link = try namespace.value.run {
      try Attached(XDPLink(attaching: program, to: ifindex, interface: interface, mode: .native))
    }.take()
    upper = try UpperSink(
      object.program("culvert_sink_skb"), on: ifindex, interface: interface, in: namespace)
    self.counters = counters
    self.link = link
  }

  /// Frames counted so far, over all CPUs.
  public func packets() throws(Failure) -> UInt64 {
    try (counters.perCPU(0) ?? []).reduce(0) { $0 + $1.packets }
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
