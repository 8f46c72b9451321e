// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import Netlink

/// Attaching to the containers' ports, and letting go of them.
extension Engine {
  /// Attaches to ports that appeared, lets go of those that vanished or that the
  /// policy has turned against.
  func reconcilePorts() throws {
    let present = Dictionary(uniqueKeysWithValues: overlay.ports.map { ($0.index, $0) })
    for index in ports.keys where present[index] == nil { try drop(index) }
    for (index, link) in present.sorted(by: { $0.key < $1.key }) {
      let against = policy.ports[index]?.map(\.description).joined(separator: "; ")
      guard let port = ports[index] else {
        ports[index] = Port(link: link)
        if let against { decline(index, against, isPolicy: true) } else { serve(index) }
        continue
      }
      ports[index]!.link = link
      if let slot = port.slot, port.link.mtu != link.mtu { try tier.update(link, slot: slot) }
      if let against {
        if port.reason != against { decline(index, against, isPolicy: true) }
      } else if port.slot == nil {
        // Tried again when the policy is lifted, or when the device itself changed.
        if port.isPolicy || !port.link.isSameButXDP(as: link) { serve(index) }
      } else if port.reason != nil {
        ports[index]!.reason = nil
      }
    }
  }

  /// Forgets a port that vanished or left the bridge. Nothing names its slot any more
  /// when this returns; one that only left gets its container's settings back.
  func drop(_ index: Int32) throws {
    guard let port = ports[index] else { return }
    release(index)
    ports[index] = nil
    if let slot = port.slot {
      let named = table.entries.filter { $0.value.target == .local(slot: slot) }
      try update(named.keys)
    }
    undoPreparation(of: port.link)
  }

  /// Leaves a port to the kernel. Its program, if any, stays and passes everything.
  func decline(_ index: Int32, _ reason: String, isPolicy: Bool = false) {
    guard let port = ports[index] else { return }
    ports[index]!.reason = reason
    ports[index]!.isPolicy = isPolicy
    report("\(port.link.name): stays with the kernel: \(reason)")
  }

  /// Attaches to a port; a port that cannot be served stays with the kernel.
  private func serve(_ index: Int32) {
    guard let link = ports[index]?.link else { return }
    do {
      guard link.xdpAttached == 0 else {
        throw Failure(
          "attach to", link.name, advice: "another XDP program (id \(link.xdpProgramID ?? 0)) is attached")
      }
      let (end, changes) = tier.portEndFeatures.isEmpty ? (nil, "") : try prepare(link)
      guard let slot = slots.take(now: Clock.monotonicNanoseconds) else {
        throw Failure("attach to", link.name, advice: "all \(options.portCapacity - 1) port slots are taken")
      }
      do {
        try tier.attachPort(link, slot: slot)
      } catch {
        slots.give(back: slot, now: Clock.monotonicNanoseconds)
        throw error
      }
      ports[index]!.slot = slot
      ports[index]!.end = end
      ports[index]!.reason = nil
      let changed =
        changes.isEmpty ? "nothing changed" : "changed \(end?.name ?? "") at its other end: \(changes)"
      report("\(link.name): tier \(tier.tier.rawValue), \(tier.mode(slot: slot)), \(changed)")
    } catch {
      undoPreparation(of: link)
      let reason = "\(error)".replacingOccurrences(of: "\n ", with: ":")
      decline(index, reason)
    }
  }

  /// Makes a container's port fit for raw frames. Returns its other end, and what was changed there.
  private func prepare(_ link: Link) throws -> (end: VethEnd?, changes: String) {
    let end = try VethEnd.find(of: link, wanted: tier.portEndFeatures)
    let changes = try prepare(end, of: link, in: place.identity)
    try renewNAPI(end, of: link)
    guard try canRedirect(to: link) else { throw RedirectTarget.failure(link) }
    return (end, changes)
  }

  /// Detaches from a port, whether it still exists or not.
  func release(_ index: Int32) {
    guard let slot = ports[index]?.slot else { return }
    tier.detach(slot: slot)
    slots.give(back: slot, now: Clock.monotonicNanoseconds)
    ports[index]!.slot = nil
  }
}

extension Link {
  /// Attaching and detaching a program announces the link too.
  fileprivate func isSameButXDP(as other: Link) -> Bool {
    var (one, two) = (self, other)
    one.xdpAttached = 0
    one.xdpProgramID = nil
    two.xdpAttached = 0
    two.xdpProgramID = nil
    return one == two
  }
}
