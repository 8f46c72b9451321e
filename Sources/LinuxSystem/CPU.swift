// SPDX-License-Identifier: Apache-2.0
import CLinuxSystem
import Glibc
import SystemPackage

public enum CPU {
  public static var count: Int { Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Pins the calling thread.
  public static func pin(to cpu: Int) throws(Failure) {
    let status = culvert_pin(Int32(cpu))
    guard status == 0 else { throw Failure("pin to", "CPU \(cpu)", errno: Errno(rawValue: -status)) }
  }

  /// Puts the calling thread into SCHED_IDLE (sched(7)): it runs when nothing else wants to.
  public static func yieldToAll() throws(Failure) {
    let status = culvert_set_idle_class()
    guard status == 0 else {
      throw Failure("set", "scheduling class SCHED_IDLE", errno: Errno(rawValue: -status))
    }
  }
}

public enum Clock {
  /// CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns.
  @inline(__always)
  public static var monotonicNanoseconds: UInt64 { culvert_monotonic_ns() }

  /// CPU time of the calling thread.
  @inline(__always)
  public static var threadCPUNanoseconds: UInt64 { culvert_thread_cpu_ns() }
}
