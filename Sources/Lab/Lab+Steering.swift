// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

extension Lab {
  /// Has each host's CPU take what arrives there (receive packet steering, Documentation/networking/scaling.rst),
  /// as an interrupt of its own NIC would; without `cpus` a wire's packets are received where they were sent.
  public func steer(_ cpus: [LabHost: Int]) throws {
    for host in LabHost.allCases {
      let mask = cpus[host].map { String(1 << $0, radix: 16) } ?? "0"
      try self.host(host).run {
        try LabNode.remountSys()
        try FileText.write(mask, to: "/sys/class/net/\(LabNames.uplink)/queues/rx-0/rps_cpus")
      }
    }
  }
}
