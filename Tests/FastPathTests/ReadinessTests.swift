// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import FastPath

struct ReadinessTests {
  private func readiness(_ ports: Status.Port...) -> Readiness {
    var status = Status.known(pid: 1, state: "ready", overlay: "br0", namespace: "ns")
    status.ports = ports
    return Readiness(status)
  }
  private func uplink(_ reason: String? = nil) -> Status.Port {
    Status.Port(name: "eth0", index: 1, role: "uplink", tier: "tc", mode: "tcx", reason: reason)
  }
  private func container(_ name: String, _ reason: String? = nil) -> Status.Port {
    Status.Port(
      name: name, index: 2, role: "container", tier: reason == nil ? "tc" : nil, mode: nil, reason: reason)
  }

  @Test func everythingIsCarried() {
    let all = readiness(uplink(), container("va1"), container("va2"))
    #expect(all.line == "serving 2 of 2 ports" && !all.isBlocked)
    #expect(readiness(uplink(), container("va1")).line == "serving 1 of 1 port")
  }

  /// What concerns the uplink concerns every port, and is said once.
  @Test func aReasonAgainstTheUplinkStopsAll() {
    let none = readiness(uplink("a firewall"), container("va1", "a firewall"), container("va2", "a firewall"))
    #expect(none.line == "serving 0 of 2 ports: a firewall" && none.isBlocked)
    #expect(readiness(uplink("a firewall"), container("va1", "a firewall")).reasons.count == 1)
    #expect(readiness(uplink("a firewall")).isBlocked)
  }

  @Test func portsWithOneReasonAreNamedTogether() {
    let some = readiness(
      uplink(), container("va1", "is isolated"), container("va2"), container("va3", "is isolated"))
    #expect(some.line == "serving 1 of 3 ports: va1, va3: is isolated" && !some.isBlocked)
    #expect(readiness(uplink(), container("va1", "is isolated")).isBlocked)
  }

  @Test func aBridgeWithoutContainersIsNotBlocked() {
    #expect(!readiness(uplink()).isBlocked)
    #expect(readiness(uplink()).line == "no container port yet")
  }
}
