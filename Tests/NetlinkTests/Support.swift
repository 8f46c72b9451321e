// SPDX-License-Identifier: Apache-2.0
import Foundation
import LinuxSystem
import PacketHeaders
import TestSupport

@testable import Netlink

/// What a shell command prints, run in the calling thread's namespace.
@discardableResult
func sh(_ command: String) throws -> String { try shell("sh", "-c", command) }

/// The objects that `ip -j`, `bridge -j` print.
func json(_ command: String) throws -> [[String: Any]] {
  let text = try sh(command)
  guard !text.allSatisfy(\.isWhitespace) else { return [] }
  let array = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
  // `ip -j` leaves an empty object for what it does not show.
  return (array ?? []).filter { !$0.isEmpty }
}

/// "0c 00 # length" lines: hexadecimal octets with annotations.
func hex(_ text: String) -> [UInt8] {
  text.split(separator: "\n").flatMap { line in
    line.prefix { $0 != "#" }.split(separator: " ").map { UInt8($0, radix: 16)! }
  }
}

func v4(_ text: String) -> IPv4Address { IPv4Address(text)! }
func ip(_ text: String) -> IPAddress { IPAddress(text)! }
func mac(_ text: String) -> MACAddress { MACAddress(text)! }
