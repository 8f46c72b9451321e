// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem

/// An XDP program that counts and drops what an interface receives. Detaches when it goes.
public struct FrameSink: ~Copyable, Sendable {
  private let link: XDPLink
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
    self.counters = counters
    self.link = link
  }

  /// Frames counted so far, over all CPUs.
  public func packets() throws(Failure) -> UInt64 {
    try (counters.perCPU(0) ?? []).reduce(0) { $0 + $1.packets }
  }

  /// Carries a link out of the thread that made it.
  private final class Attached {
    private var link: XDPLink?
    init(_ link: consuming XDPLink) { self.link = consume link }
    func take() -> XDPLink { link.take()! }
  }
}
