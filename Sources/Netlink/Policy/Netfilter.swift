// SPDX-License-Identifier: Apache-2.0
import CLibNL
import LinuxSystem
import SystemPackage

/// The rules of a namespace, read again when nftables says that they changed.
public final class NetfilterReader {
  private var generation: UInt32?
  private var known = Ruleset()

  public init() {}

  /// Those of the calling thread's namespace, which is to be the same each time. Legacy tables have no generation: they
  /// are read each time.
  public func rules() throws(Failure) -> Ruleset {
    if let socket = try Netfilter.open() {
      let now = try Netfilter.generation(socket)
      if now == nil || now != generation {
        known = try Netfilter.rules(socket)
        // A change since is seen the next time.
        generation = now
      }
    }
    var rules = known
    rules.addLegacyTables()
    return rules
  }
}

enum Netfilter {
  private static let subsystem = 10 << 8

  /// nil where the kernel has no netfilter.
  static func open() throws(Failure) -> Box<NetlinkSocket>? {
    do {
      return Box(try NetlinkSocket(protocolNumber: 12 /* NETLINK_NETFILTER */, name: "netfilter"))
    } catch let failure where failure.errno == Errno(rawValue: 93 /* EPROTONOSUPPORT */) {
      return nil
    }
  }

  /// A number that each change of nftables raises; nil where the kernel has no nftables.
  static func generation(_ socket: Box<NetlinkSocket>) throws(Failure) -> UInt32? {
    var number: UInt32?
    // NFT_MSG_GETGEN; NFTA_GEN_ID
    var request = try Request(subsystem | 16)
    request.append(header: UInt32(0))
    do {
      try socket.value.transact(request, "read", "the generation of nftables") { message throws(Failure) in
        guard message.type == subsystem | 15 else { return }
        try message.payload.attributes(after: 4).forEach { attribute throws(Failure) in
          if attribute.type == 1 { number = try attribute.bigEndian() }
        }
      }
    } catch let failure where failure.errno == .invalidArgument || failure.errno == .notSupportedOnSocket {
      return nil
    }
    return number
  }

  static func rules(_ socket: Box<NetlinkSocket>) throws(Failure) -> Ruleset {
    var rules = Ruleset()
    // NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN
    try dump(socket, 4, "chains", reset: { rules.tables = [:] }) { payload throws(Failure) in
      let (table, chain) = try Ruleset.Chain.parse(payload)
      rules.tables[table, default: .init()].chains[chain.name] = chain
    }
    // NFT_MSG_GETRULE
    var found: [Ruleset.Table: [String: [FilterRule]]] = [:]
    try dump(socket, 7, "rules", reset: { found = [:] }) { payload throws(Failure) in
      let (table, chain, rule) = try FilterRule.parse(payload)
      found[table, default: [:]][chain, default: []].append(rule)
    }
    var wanted: [Ruleset.Table: Set<String>] = [:]
    for (table, chains) in found {
      for (name, list) in chains {
        rules.tables[table]?.chains[name]?.rules = list
        wanted[table, default: []].formUnion(list.flatMap(\.setNames))
      }
    }
    if wanted.values.contains(where: { !$0.isEmpty }) { try readSets(socket, wanted, into: &rules) }
    return rules
  }

  private static func readSets(
    _ socket: Box<NetlinkSocket>, _ wanted: [Ruleset.Table: Set<String>], into rules: inout Ruleset
  ) throws(Failure) {
    var sets: [Ruleset.Table: [String: FilterSet]] = [:]
    // NFT_MSG_GETSET
    try dump(socket, 10, "sets", reset: { sets = [:] }) { payload throws(Failure) in
      let (table, name, set) = try FilterSet.parse(payload)
      if wanted[table]?.contains(name) == true { sets[table, default: [:]][name] = set }
    }
    for (table, some) in sets {
      for (name, set) in some {
        var set = set
        guard set.isPlain else {
          rules.tables[table]?.sets[name] = set
          continue
        }
        // NFT_MSG_GETSETELEM
        var request = try Request(subsystem | 13)
        request.append(header: UInt32(Ruleset.number(ofFamily: table.family)))
        request.put(1, string: table.name)
        request.put(2, string: name)
        do {
          try socket.value.dump(request, "list", "set \(name) of nftables", reset: { set.elements = [] }) {
            message throws(Failure) in
            guard message.type == subsystem | 12 else { return }
            set.elements += try FilterSet.parseElements(message.payload)
          }
        } catch let failure where failure.errno == .noSuchFileOrDirectory {
          // Gone meanwhile: what looks it up may match, and the generation is another.
          continue
        }
        rules.tables[table]?.sets[name] = set
      }
    }
  }

  /// All families'; nothing where the subsystem is not there.
  private static func dump(
    _ socket: Box<NetlinkSocket>, _ type: Int, _ what: String, reset: () -> Void,
    _ entry: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    var request = try Request(subsystem | type)
    // struct nfgenmsg of NFPROTO_UNSPEC
    request.append(header: UInt32(0))
    do {
      try socket.value.dump(request, "list", "nftables \(what)", reset: reset) { message throws(Failure) in
        // The answer's type is the one before the request's.
        if message.type == subsystem | (type - 1) { try entry(message.payload) }
      }
    } catch let failure where failure.errno == .invalidArgument || failure.errno == .notSupportedOnSocket {
      reset()
    }
  }
}

extension FilterRule {
  fileprivate var setNames: [String] {
    expressions.compactMap { if case .lookUp(let name, _, _, _) = $0 { name } else { nil } }
  }
}

extension Ruleset {
  fileprivate static func number(ofFamily name: String) -> UInt8 {
    (UInt8(0)...10).first { family($0) == name } ?? 0
  }
}

extension Ruleset.Chain {
  /// NFT_MSG_NEWCHAIN.
  static func parse(_ payload: UnsafeRawBufferPointer) throws(Failure) -> (
    table: Ruleset.Table, chain: Ruleset.Chain
  ) {
    var chain = Ruleset.Chain(name: "")
    var table = ""
    try payload.attributes(after: 4).forEach { attribute throws(Failure) in
      switch attribute.type {
      case 1: table = attribute.string
      case 3: chain.name = attribute.string
      case 4:
        try attribute.nested.forEach { hook throws(Failure) in
          switch hook.type {
          case 1: chain.hook = try hook.bigEndian()
          case 2: chain.priority = Int32(bitPattern: try hook.bigEndian(UInt32.self))
          case 3: chain.devices.append(hook.string)
          case 4:
            // NFTA_DEVICE_PREFIX (2) stands for every device whose name begins so.
            try hook.nested.forEach { device in
              chain.devices.append(device.string + (device.type == 2 ? "*" : ""))
            }
          default: break
          }
        }
      // NF_ACCEPT is 1
      case 5: chain.drops = try attribute.bigEndian(UInt32.self) != 1
      case 7: chain.type = attribute.string
      default: break
      }
    }
    let family = Ruleset.family(try payload.read(UInt8.self, at: 0))
    return (Ruleset.Table(family: family, name: table), chain)
  }
}
