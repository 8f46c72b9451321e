// SPDX-License-Identifier: Apache-2.0
import LinuxSystem

extension TestNode {
  /// InCsumErrors of IP, TCP, UDP and ICMP over both families.
  public func checksumErrors() throws -> Int { try run { try ChecksumErrors.here() } }
}

public enum ChecksumErrors {
  /// Of the calling thread's namespace.
  public static func here() throws -> Int {
    let snmp = try FileText.read("/proc/thread-self/net/snmp").split(separator: "\n").map {
      $0.split(separator: " ")
    }
    var errors = 0
    for (names, values) in zip(snmp, snmp.dropFirst()) where names[0] == values[0] {
      for (name, value) in zip(names, values) where name == "InCsumErrors" { errors += Int(value) ?? 0 }
    }
    for line in try FileText.read("/proc/thread-self/net/snmp6").split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2, words[0].hasSuffix("InCsumErrors") { errors += Int(words[1]) ?? 0 }
    }
    return errors
  }
}
