// SPDX-License-Identifier: Apache-2.0
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

  /// Of the calling thread's namespace, not older than `age` nanoseconds.
  func look(
    _ namespace: NetworkNamespace.Identity, _ connection: Box<RouteConnection>, age: UInt64
  ) throws -> Look {
    let now = Clock.monotonicNanoseconds
    if let known = looks[namespace], now - known.takenAt < age { return known }
    let reader = readers[namespace] ?? NetfilterReader()
    readers[namespace] = reader
    let disciplines = try connection.value.queueingDisciplines()
    let look = Look(
      filters: try PolicyFacts.foreignFilters(connection, behind: disciplines),
      disciplines: PolicyFacts.named(disciplines),
      rules: try reader.rules(), takenAt: now)
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

  /// Programs that Culvert's processes have attached: no policy of anybody's. Read anew where they do not hold all of
  /// `programs`.
  func livingPrograms(age: UInt64, among programs: Set<UInt32>) -> Set<UInt32> {
    let now = Clock.monotonicNanoseconds
    if let living, now - living.takenAt < age, living.programs.isSuperset(of: programs) { return living.programs }
    let programs = Set(RuntimeDirectory.livingPrograms().keys)
    living = (programs, now)
    return programs
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
  }
}
