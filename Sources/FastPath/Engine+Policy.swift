// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// What the kernel could decide otherwise, looked at again and again.
extension Engine {
  /// True when the verdict changed.
  @discardableResult
  func judge() throws -> Bool {
    endsMayHaveChanged = true
    return try judge(by: gather(age: 0))
  }

  /// Programs of other overlays' fast paths are no policy: each passes on what is not its own.
  private func gather(age: UInt64) throws -> PolicyFacts {
    // Only tc enters above the driver's program of a veth's other end, and that is announced.
    let ends = tier.tier != .tc ? [] : endsMayHaveChanged || place.peers == nil ? nil : facts.endPrograms
    facts = try PolicyFacts.gather(place, ports: overlay.ports, looks: looks, age: age, ends: ends) {
      [tier, looks] programs in
      let others = programs.subtracting(tier.programIDs)
      return tier.programIDs.union(others.isEmpty ? [] : looks.livingPrograms(age: age, among: others))
    }
    endsMayHaveChanged = false
    return facts
  }

  /// Looks again at what is not announced here (sysctls, netfilter, tc, IPsec). What
  /// cannot be read just now is read the next time.
  func checkPolicy(age: UInt64 = 0) throws {
    guard let facts = try? gather(age: age), try judge(by: facts) else { return }
    try reconcile()
  }

  /// Of all that it looks at, the rules that choose a routing table, which are announced.
  func checkRoutingRules() throws {
    guard place.uplink != nil,
      let rules = try? looks.readRoutingRules(place.underlayIdentity, isIPv6: place.isIPv6, place.underlayConnection),
      rules != facts.rules
    else { return }
    facts.rules = rules
    if try judge(by: facts) { try reconcile() }
  }

  private var uplinkName: String { place.uplink?.name ?? "" }

  private func judge(by facts: PolicyFacts) throws -> Bool {
    if underlay.encryption != facts.encryption {
      underlay.encryption = facts.encryption
      try table.updateTunnels(overlay: overlay, underlay: underlay)
    }
    if let tier = tier as? TCTier, tier.sentByDriver[domain] ?? [] != facts.endPrograms {
      tier.sentByDriver[domain] = facts.endPrograms
      for port in ports.values { if let slot = port.slot { try tier.update(port.link, slot: slot) } }
    }
    let inputs = PolicyInputs(overlay, underlay, facts)
    guard inputs != judgedBy else { return false }
    judgedBy = inputs
    let judged = Policy.judge(overlay: overlay, underlay: underlay, facts: facts)
    let next = options.bypassPolicy ? judged.bypassed() : judged
    if options.bypassPolicy { sayWhatIsOverridden(judged) }
    guard next != policy else { return false }
    let before = policy
    policy = next
    for reason in policy.overlay where !before.overlay.contains(reason) {
      report("\(place.bridge.name): left to the kernel: \(reason)")
    }
    for reason in policy.uplink where !before.uplink.contains(reason) {
      report("\(uplinkName): left to the kernel: \(reason)")
    }
    let reasons = policy.overlay + policy.uplink
    if !options.bypassPolicy, !reasons.isEmpty {
      let bypass = reasons.allSatisfy(\.canBeBypassed) ? ", or skip it with --bypass-policy" : ""
      report("  remove what is named there\(bypass)")
    }
    if next.overlay.isEmpty, next.uplink.isEmpty, !(before.overlay + before.uplink).isEmpty {
      report("\(place.bridge.name): the reason is gone, fast path on again")
    }
    return true
  }

  /// Each reason once: whoever overrides firewalls is to know which.
  private func sayWhatIsOverridden(_ judged: Policy) {
    // Of ports, too, that are yet to be attached to.
    let ofPorts = overlay.ports.flatMap { port in (judged.ports[port.index] ?? []).map { (port.name, $0) } }
    let all =
      judged.overlay.map { (place.bridge.name, $0) } + judged.uplink.map { (uplinkName, $0) } + ofPorts
    for (name, reason) in all where reason.canBeBypassed {
      let line = "\(name): --bypass-policy overrides: \(reason)"
      if overridden.insert(line).inserted { report(line) }
    }
  }
}
