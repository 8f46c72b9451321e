// SPDX-License-Identifier: Apache-2.0
import LinuxSystem
import PacketHeaders
import TestSupport

/// What a shell command prints, run in the calling thread's namespace.
@discardableResult
func sh(_ command: String) throws -> String { try shell("sh", "-c", command) }

func text(_ address: IPv6Address) -> String {
  stride(from: 0, to: 16, by: 2)
    .map { String(UInt16(address.octets[$0]) << 8 | UInt16(address.octets[$0 + 1]), radix: 16) }
    .joined(separator: ":")
}
