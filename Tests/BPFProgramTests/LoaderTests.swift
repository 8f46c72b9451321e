// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import CBPFObjects
import LinuxSystem
import PacketHeaders
import SystemPackage
import TestSupport
import Testing

@Suite(.enabled(if: mayUseKernel, .init(rawValue: needsRoot)))
struct LoaderTests {
  static func opened() throws -> BPFObject {
    let embedded = culvert_bpf_xdp()
    return try BPFObject(name: "culvert_xdp", data: embedded.data, size: embedded.size)
  }

  static func failure(_ body: () throws -> Void) -> Failure? {
    do { try body() } catch { return error as? Failure }
    return nil
  }

  @Test func refusesWhatIsNoObject() {
    let bytes: StaticString = "no object at all"
    let failure = Self.failure {
      _ = try BPFObject(name: "nonsense", data: bytes.utf8Start, size: bytes.utf8CodeUnitCount)
    }
    #expect(failure?.subject == "nonsense")
    #expect(failure?.errno != nil)
  }

  @Test func loadFailureCarriesTheLog() {
    let failure = Self.failure {
      var object = try Self.opened()
      try object.resize("fdb", to: 0)
      try object.load()
    }
    #expect(failure?.errno == .invalidArgument)
    #expect(failure?.advice?.contains("fdb") == true)
  }

  @Test func namesThatAreNotThere() throws {
    #expect(Self.failure { try Self.opened().resize("nothing", to: 1) }?.subject == "nothing")
    #expect(Self.failure { try Self.opened().set("nothing", to: 1) }?.subject == "nothing")
    #expect(
      Self.failure { try Self.opened().set("config", to: UInt8(1)) }?.advice?.contains("32 bytes") == true)
    #expect(Self.failure { _ = try Self.opened().program("culvert_port") } != nil)
    #expect(
      Self.failure {
        var object = try Self.opened()
        try object.load()
        try object.set("config", to: culvert_config())
      }?.advice == "Set variables before loading.")
  }

  @Test func mapsOfAnotherShape() throws {
    let failure = Self.failure {
      var object = try Self.opened()
      try object.load()
      let wrong: BPFMap<UInt32, UInt64> = try object.map("ports")
      _ = wrong.id
    }
    #expect(failure?.advice?.contains("\(MemoryLayout<culvert_port>.size)") == true)
  }

  @Test func entries() throws {
    var object = try Self.opened()
    try object.resize("vteps", to: 1000)
    try object.load()
    let map: BPFMap<culvert_vtep_key, UInt32> = try object.map("vteps")
    func key(_ n: Int) -> culvert_vtep_key { culvert_vtep_key(domain: 1, remote: UInt32(n)) }
    #expect(map.maxEntries == 1000)
    for n in 0..<900 { try map.update(key(n), UInt32(n)) }
    #expect(try map.memory() > 900 * 12)
    #expect(Set(try map.keys().map(\.remote)) == Set(0..<900))
    #expect(try map.delete(key(450)))
    #expect(try !map.delete(key(450)))
    #expect(try map.lookup(key(450)) == nil)
    #expect(try map.lookup(key(451)) == 451)
    #expect(Self.failure { try map.update(key(451), 1, .absent) }?.errno == .fileExists)
    #expect(Self.failure { try map.update(key(450), 1, .present) }?.errno == .noSuchFileOrDirectory)
    let full = Self.failure { for n in 0..<1200 { try map.update(key(10_000 + n), 1) } }
    #expect(full?.advice?.contains("1000 entries") == true)
  }

  @Test func perCPUValues() throws {
    var object = try Self.opened()
    try object.load()
    let counters: BPFMap<UInt32, culvert_counters> = try object.map("counters")
    var value = culvert_counters()
    value.packets.3 = 7
    try counters.updatePerCPU(2, value)
    let cpus = try #require(try counters.perCPU(2))
    #expect(cpus.count == BPFMap<UInt32, culvert_counters>.possibleCPUs)
    #expect(cpus.allSatisfy { $0.packets.3 == 7 && $0.bytes.3 == 0 })
    #expect(try counters.perCPU(3)?.allSatisfy { $0.packets.3 == 0 } == true)
    #expect(try counters.perCPU(4096) == nil)
  }

  /// By 64 at once: the last ones are fewer, and no more than the map has.
  @Test func sumsOfManyEntries() throws {
    var object = try Self.opened()
    try object.resize("counters", to: 150)
    try object.load()
    let counters: BPFMap<UInt32, culvert_counters> = try object.map("counters")
    var value = culvert_counters()
    value.packets.39 = 1000
    for slot in [0, 63, 64, 149] as [UInt32] {
      (value.bytes.0, value.bytes.39) = (UInt64(slot), 7)
      try counters.updatePerCPU(slot, value)
    }
    let cpus = UInt64(BPFMap<UInt32, culvert_counters>.possibleCPUs)
    let wanted = (0..<150 as Range<UInt64>).map { [0, 63, 64, 149].contains($0) ? ($0 + 7) * cpus : 0 }
    let words = 40..<80
    #expect(try counters.sums(ofWords: words, first: 150) == wanted)
    #expect(try counters.sums(ofWords: words, first: 65) == Array(wanted.prefix(65)))
    #expect(try counters.sums(ofWords: words, first: 1000) == wanted)
    #expect(try counters.sums(ofWords: words, first: 0) == [])
  }

  @Test func classifiersOfAllProcesses() throws {
    var search = ProgramSearch()
    let before = search.classifiers()
    let embedded = culvert_bpf_probe()
    var object = try BPFObject(name: String(cString: embedded.name), data: embedded.data, size: embedded.size)
    try object.load()
    let program = try object.program("culvert_probe_decap")
    // As it is when it is new, and when it is known.
    for _ in 0..<2 {
      let now = search.classifiers()
      #expect(now?.contains(program.id) == true)
      #expect(before?.contains(program.id) == false)
    }
    var other = try Self.opened()
    try other.load()
    let name = try #require(other.programNames.first)
    let xdp = try other.program(name).id
    let now = search.classifiers()
    #expect(now?.contains(xdp) == false, "\(name) is of XDP")
  }

  @Test func mapsAreShared() throws {
    var first = try Self.opened()
    try first.load()
    let ports: BPFMap<UInt32, culvert_port> = try first.map("ports")
    var second = try Self.opened()
    try second.share("ports", descriptor: ports.descriptor.raw)
    try second.load()
    let same: BPFMap<UInt32, culvert_port> = try second.map("ports")
    #expect(same.id == ports.id)
  }

  @Test func linksSayWhatIsWrong() throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    let seen = try namespace.run { () throws -> [Failure?] in
      var object = try Self.opened()
      try object.load()
      let program = try object.program("culvert_port")
      let link = try XDPLink(attaching: program, to: 1, interface: "lo", mode: .generic)
      guard link.isAttached else { return [] }
      return [
        Self.failure { _ = try XDPLink(attaching: program, to: 1, interface: "lo", mode: .generic) },
        Self.failure { _ = try XDPLink(attaching: program, to: 77, interface: "nothing", mode: .native) },
        Self.failure {
          let other = try NetworkNamespace.makeAnonymous()
          try other.run { _ = try XDPLink(attaching: program, to: 1, interface: "lo", mode: .native) }
        },
      ]
    }
    try #require(seen.count == 3)
    #expect(seen[0]?.errno == .resourceBusy)
    #expect(seen[0]?.advice?.contains("Another XDP program") == true)
    #expect(seen[1]?.advice?.contains("no longer there") == true)
    #expect(seen[2]?.status == .unavailable)
    #expect(seen[2]?.advice?.contains("generic") == true)
  }

  /// The link goes with its value, and notices when its device goes.
  @Test func linksEnd() throws {
    let namespace = try NetworkNamespace.makeAnonymous()
    try namespace.run {
      var object = try Self.opened()
      try object.load()
      let program = try object.program("culvert_port")
      try shell("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
      let index = try LiveTests.index("v0")
      func attach() throws { _ = try XDPLink(attaching: program, to: index, interface: "v0", mode: .native) }
      try attach()
      try attach()
      let link = try XDPLink(attaching: program, to: index, interface: "v0", mode: .native)
      let attached = link.isAttached
      #expect(attached)
      #expect(try shell("ip", "link", "show", "v0").contains("prog/xdp id \(program.id)"))
      try shell("ip", "link", "del", "v0")
      let still = link.isAttached
      #expect(!still)
    }
  }
}
