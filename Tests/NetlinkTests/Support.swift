// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import PacketHeaders

@testable import Netlink

/// Root tests may be left out on a developer's machine, never where CI is set.
let mayTouchKernel = geteuid() == 0 || ProcessInfo.processInfo.environment["CI"] != nil

/// Standard output of a shell command, run in the calling thread's namespace.
func shell(_ command: String) throws -> String {
  guard let pipe = popen(command, "r") else { throw Failure("run", command, errno: .last) }
  var output: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = fread(&chunk, 1, chunk.count, pipe)
    if count == 0 { break }
    output += chunk[..<count]
  }
  let status = pclose(pipe)
  guard status == 0 else { throw Failure("run", "\(command) (status \(status >> 8))") }
  return String(decoding: output, as: UTF8.self)
}

/// The objects that `ip -j`, `bridge -j` print.
func json(_ command: String) throws -> [[String: Any]] {
  let text = try shell(command)
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
func mac(_ text: String) -> MACAddress { MACAddress(text)! }
