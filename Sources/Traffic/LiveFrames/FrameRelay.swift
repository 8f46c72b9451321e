// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem

/// Passes every frame between two interfaces of a namespace as it is, by XDP redirect: the least that anything can
/// do that forwards. Detaches when it goes.
public struct FrameRelay: ~Copyable, Sendable {
  private let there: XDPLink
  private let back: XDPLink

  /// Runs in the interfaces' namespace; both take native XDP.
  public init(between near: (index: UInt32, name: String), and far: (index: UInt32, name: String))
    throws(Failure)
  {
    let there = try Self.link(from: near, to: far)
    let back = try Self.link(from: far, to: near)
    self.there = there
    self.back = back
  }

  private static func link(
    from source: (index: UInt32, name: String), to destination: (index: UInt32, name: String)
  ) throws(Failure) -> XDPLink {
    let object = try BPFObject.bench(["culvert_relay"])
    let beyond: BPFMap<UInt32, UInt32> = try object.map("beyond")
    try beyond.update(0, destination.index)
    return try XDPLink(
      attaching: object.program("culvert_relay"), to: source.index, interface: source.name, mode: .native)
  }
}
