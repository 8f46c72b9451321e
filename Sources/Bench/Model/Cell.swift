// SPDX-License-Identifier: Apache-2.0
import DataPlane
import LinuxSystem
import Traffic

public enum Placement: String, Codable, Sendable, CaseIterable {
  /// Both ends on CPU 0.
  case oneCore = "one-core"
  /// The client on CPU 0, the server on CPU 1.
  case twoCore = "two-core"

  public var clientCPU: Int { 0 }
  public var serverCPU: Int { self == .oneCore ? 0 : 1 }
  /// Of a tier's own threads where live frames take the whole of the client's.
  public static var liveFramesWorkerCPU: Int { CPU.count > 1 ? 1 : 0 }
}

public enum Offloads: String, Codable, Sendable, CaseIterable {
  case on, off
}

/// Where a network's tier is attached; the other end is a plain kernel.
public enum Ends: String, Codable, Sendable, CaseIterable {
  case both, sender, receiver
}

/// One row of the comparison: everything but the network.
public struct Cell: Hashable, Sendable, CustomStringConvertible {
  public var measure: Measure
  /// Payload, write or frame bytes, as the workload defines.
  public var size: Int
  public var offloads: Offloads
  public var placement: Placement
  /// Parallel ones.
  public var flows: Int
  public var ends: Ends
  /// Of the VXLAN devices; nil: as the baseline has it.
  public var outerChecksum: Bool?

  public init(
    measure: Measure, size: Int, offloads: Offloads, placement: Placement, flows: Int = 1,
    ends: Ends = .both, outerChecksum: Bool? = nil
  ) {
    self.flows = flows
    self.ends = ends
    self.outerChecksum = outerChecksum
    self.measure = measure
    self.size = size
    self.offloads = offloads
    self.placement = placement
  }

  /// tcp-stream's, where batching is the kernel's and not the writer's.
  var isSmallWrites: Bool { measure.plain == .tcpStream && size < 16_384 }

  public var description: String { "\(row.title) \(row.conditions)" }
}
