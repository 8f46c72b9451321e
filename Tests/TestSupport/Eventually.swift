// SPDX-License-Identifier: Apache-2.0
import Glibc
import LinuxSystem

/// Whether `condition` comes to hold within `seconds`; asks some fifty times a second.
public func eventually(_ seconds: Double = 5, _ condition: () throws -> Bool) rethrows -> Bool {
  let deadline = Clock.monotonicNanoseconds + UInt64(seconds * 1e9)
  while Clock.monotonicNanoseconds < deadline {
    if try condition() { return true }
    usleep(20_000)
  }
  return try condition()
}

/// Once `value` has stayed the same for a while; nil where it never does.
public func settled<T: Equatable>(_ seconds: Double = 5, _ value: () throws -> T) rethrows -> T? {
  let deadline = Clock.monotonicNanoseconds + UInt64(seconds * 1e9)
  var last = try value()
  var same = 0
  while Clock.monotonicNanoseconds < deadline {
    usleep(10_000)
    let now = try value()
    same = now == last ? same + 1 : 0
    if same == 5 { return now }
    last = now
  }
  return nil
}
