// SPDX-License-Identifier: Apache-2.0
import BPFLoader
import LinuxSystem
import Netlink

/// What nothing announces and every overlay asks once a second: of a namespace it is looked up once for all of them.
final class NamespaceLooks {
  /// Of one namespace.
  struct Look {
    /// Filters of tc that are not Culvert's, and disciplines that could decide, by interface.
    var filters: [Int32: [String]]
    var disciplines: [Int32: [String]]
    var rules: Ruleset
    fileprivate var takenAt: UInt64
  }
  /// Of one that overlays leave by.
  struct UnderlayLook {
    var routingRules: [RoutingRule]
    var encryption: [IPsecPolicy]
    var addresses: [InterfaceAddress]
    fileprivate var takenAt: UInt64
  }

  private struct UnderlayKey: Hashable {
    var namespace: NetworkNamespace.Identity
    var isIPv6: Bool
  }

  private var looks: [NetworkNamespace.Identity: Look] = [:]
  private var underlays: [UnderlayKey: UnderlayLook] = [:]
  private var readers: [NetworkNamespace.Identity: NetfilterReader] = [:]
  private var living: (programs: Set<UInt32>, takenAt: UInt64)?
  private var held: [NetworkNamespace.Identity: (isHeld: Bool, takenAt: UInt64)] = [:]

  private var sysctls: [NetworkNamespace.Identity: [String: (value: String?, takenAt: UInt64)]] = [:]
  private var routes: [NetworkNamespace.Identity: (takenAt: UInt64, decisions: [VTEPQuestion: RouteDecision?])] = [:]
  private var search = ProgramSearch()
  private var classifiers: (programs: Set<UInt32>, takenAt: UInt64)?

  /// Of the calling thread's namespace, not older than `age` nanoseconds.
  func look(
    _ namespace: NetworkNamespace.Identity, _ connection: Box<RouteConnection>, age: UInt64
  ) throws -> Look {
    let now = Clock.monotonicNanoseconds
    if let known = looks[namespace], now - known.takenAt < age { return known }
    let reader = readers[namespace] ?? NetfilterReader()
    readers[namespace] = reader
    let disciplines = try connection.value.queueingDisciplines()
    let rules = try reader.rules()
    let known = looks[namespace]?.rules
    let look = Look(
      filters: try PolicyFacts.foreignFilters(connection, behind: disciplines),
      disciplines: PolicyFacts.named(disciplines),
      // The same storage: that nothing changed is then found without a comparison of rules, by each overlay.
      rules: known == rules ? known! : rules, takenAt: now)
    looks[namespace] = look
    return look
  }

  func underlayLook(
    _ namespace: NetworkNamespace.Identity, isIPv6: Bool, _ connection: Box<RouteConnection>, age: UInt64
  ) throws -> UnderlayLook {
    let now = Clock.monotonicNanoseconds
    let key = UnderlayKey(namespace: namespace, isIPv6: isIPv6)
    if let known = underlays[key], now - known.takenAt < age { return known }
    let look = UnderlayLook(
      routingRules: try connection.value.rules(ofIPv6: isIPv6), encryption: try IPsec.policies(),
      addresses: try connection.value.addresses(ofIPv6: isIPv6), takenAt: now)
    underlays[key] = look
    return look
  }

  /// Anew, since they were announced: what was known of them is of before for every overlay.
  func readRoutingRules(
    _ namespace: NetworkNamespace.Identity, isIPv6: Bool, _ connection: Box<RouteConnection>
  ) throws -> [RoutingRule] {
    let rules = try connection.value.rules(ofIPv6: isIPv6)
    underlays[UnderlayKey(namespace: namespace, isIPv6: isIPv6)]?.routingRules = rules
    return rules
  }

  /// Programs that Culvert's processes have attached: no policy of anybody's. Read anew where they do not hold all of
  /// `programs`.
  func livingPrograms(age: UInt64, among programs: Set<UInt32>) -> Set<UInt32> {
    let now = Clock.monotonicNanoseconds
    if let living, now - living.takenAt < age, living.programs.isSuperset(of: programs) { return living.programs }
    let programs = Set(RuntimeDirectory.livingPrograms().keys)
    living = (programs, now)
    return programs
  }

  /// Whether only programs of `own` or of Culvert's living processes can be at a tcx hook anywhere: no other process
  /// has a program of that type. False where that cannot be told.
  func onlyOwnClassifiers(_ own: Set<UInt32>, age: UInt64) -> Bool {
    let now = Clock.monotonicNanoseconds
    if classifiers.map({ now - $0.takenAt >= age }) ?? true {
      guard let programs = search.classifiers() else { return false }
      classifiers = (programs, now)
    }
    let others = classifiers!.programs.subtracting(own)
    return others.isEmpty || livingPrograms(age: age, among: []).isSuperset(of: others)
  }

  /// Of /proc/sys in the calling thread's namespace.
  func sysctl(_ name: String, _ namespace: NetworkNamespace.Identity, age: UInt64) -> String? {
    let now = Clock.monotonicNanoseconds
    if let known = sysctls[namespace]?[name], now - known.takenAt < age { return known.value }
    let value = Sysctl.read(name)
    sysctls[namespace, default: [:]][name] = (value, now)
    return value
  }

  /// The route to a VTEP from a namespace of uplinks.
  func route(
    _ question: VTEPQuestion, _ namespace: NetworkNamespace.Identity, _ connection: Box<RouteConnection>, age: UInt64
  ) throws -> RouteDecision? {
    let now = Clock.monotonicNanoseconds
    // Who asks for what is new has heard of a change: nobody is told the old any more.
    if routes[namespace].map({ now - $0.takenAt >= age }) ?? true { routes[namespace] = (now, [:]) }
    if let decision = routes[namespace]!.decisions[question] { return decision }
    let decision = try connection.value.vtepRoute(question)
    routes[namespace]!.decisions[question] = .some(decision)
    return decision
  }

  /// As `NamespaceSearch.isHeld`, at most so old.
  func isHeld(_ namespace: NetworkNamespace.Identity, age: UInt64) -> Bool {
    let now = Clock.monotonicNanoseconds
    if let known = held[namespace], now - known.takenAt < age { return known.isHeld }
    let isHeld = NamespaceSearch.isHeld(namespace)
    held[namespace] = (isHeld, now)
    return isHeld
  }

  /// Its overlays are gone.
  func forget(_ namespace: NetworkNamespace.Identity) {
    looks[namespace] = nil
    for isIPv6 in [false, true] { underlays[UnderlayKey(namespace: namespace, isIPv6: isIPv6)] = nil }
    readers[namespace] = nil
    held[namespace] = nil
    sysctls[namespace] = nil
    routes[namespace] = nil
  }
}
