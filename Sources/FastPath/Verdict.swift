// SPDX-License-Identifier: Apache-2.0
import CBPFObjects

/// What became of a packet, with the name that `stats` shows.
public enum Verdict: UInt32, CaseIterable, Sendable {
  case forwardedLocal = 0
  case forwardedEncapsulated, forwardedDecapsulated
  case passTruncated, passMulticast, passNotIP, passND, passUnknownPort, passUnknownSource, passMovedSource
  case passUnknownDestination, passSamePort, passRefresh, passMTU, passChecksum, passECN
  case passNotOverlay, passOuter, passVXLANFlags, passUnknownVNI, passUnsupported
  case passHost, passPolicy, passNextHopObject, passNotResolved, passNoNeighbour, passMultiBuffer
  case passHeadroom, passWorker, passIPHeader, passRoute, passConnection
  case dropNotAVTEP

  public enum Class: String, Sendable, Codable { case forwarded, passed, dropped }

  public var verdictClass: Class {
    switch self {
    case .forwardedLocal, .forwardedEncapsulated, .forwardedDecapsulated: .forwarded
    case .dropNotAVTEP: .dropped
    default: .passed
    }
  }

  public var name: String {
    switch self {
    case .forwardedLocal: "local"
    case .forwardedEncapsulated: "encapsulated"
    case .forwardedDecapsulated: "decapsulated"
    case .passTruncated: "truncated"
    case .passMulticast: "multicast"
    case .passNotIP: "not-ip"
    case .passND: "neighbour-discovery"
    case .passUnknownPort: "unknown-port"
    case .passUnknownSource: "unknown-source"
    case .passMovedSource: "moved-source"
    case .passUnknownDestination: "unknown-destination"
    case .passSamePort: "same-port"
    case .passRefresh: "refresh"
    case .passMTU: "mtu"
    case .passChecksum: "checksum"
    case .passECN: "ecn"
    case .passNotOverlay: "not-overlay"
    case .passOuter: "outer-header"
    case .passVXLANFlags: "vxlan-flags"
    case .passUnknownVNI: "unknown-vni"
    case .passUnsupported: "unsupported"
    case .passHost: "host"
    case .passPolicy: "policy"
    case .passNextHopObject: "nexthop-object"
    case .passNotResolved: "not-resolved"
    case .passNoNeighbour: "no-neighbour"
    case .passMultiBuffer: "multi-buffer"
    case .passHeadroom: "headroom"
    case .passWorker: "worker"
    case .passIPHeader: "ip-header"
    case .passRoute: "route"
    case .passConnection: "connection"
    case .dropNotAVTEP: "not-a-vtep"
    }
  }
}
