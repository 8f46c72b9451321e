// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
import LinuxSystem
import PacketHeaders


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




func text(_ address: IPv6Address) -> String {
  stride(from: 0, to: 16, by: 2)
    .map { String(UInt16(address.octets[$0]) << 8 | UInt16(address.octets[$0 + 1]), radix: 16) }
    .joined(separator: ":")
}
